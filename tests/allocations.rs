//! How often the library allocates for a message, by an allocator that counts: a binary of its own.
//!
//! The counts are of the thread that runs the test, which runs the library too; the other end of a
//! bare connection is a thread that is not counted.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;

use allocation_counter::measure;
use bytes::Bytes;
use pushsub::{Client, Dealer, Endpoint, Pull, Push, Reply, Request, Router, Server};
use tokio::runtime::{Builder, Runtime};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Messages whose allocations are counted, after as many that warm up.
const MESSAGES: usize = 20_000;

/// Messages that are sent in a row.
const BURST: usize = 20;

const CALLS: usize = 2_000;

/// Octets of a payload, on both sides of where a frame's head grows.
const SIZES: [usize; 5] = [1, 64, 255, 256, 1024];

/// A question from DEALER to ROUTER and its answer, at both ends together.
const MOST_FOR_A_QUESTION: f64 = 2.0;

/// A call and its answer, at both ends together, the task of the handler included.
const MOST_FOR_A_CALL: f64 = 16.0;

static PAYLOAD: [u8; 1024] = [7; 1024];

fn runtime() -> Result<Runtime> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

/// A peer that has said what it is and heard what the socket is.
fn peer(endpoint: &Endpoint, socket_type: &str) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(endpoint.to_string().replace("tcp://", ""))?;
    let mut octets = vec![0; 64];
    (octets[0], octets[9], octets[10]) = (0xFF, 0x7F, 3);
    octets[12..16].copy_from_slice(b"NULL");
    let mut ready = b"\x05READY\x0bSocket-Type\0\0\0".to_vec();
    ready.push(socket_type.len() as u8);
    ready.extend(socket_type.as_bytes());
    octets.extend([4, ready.len() as u8]);
    octets.extend(ready);
    stream.write_all(&octets)?;
    stream.read_exact(&mut octets[..66])?;
    let mut rest = vec![0; usize::from(octets[65])];
    stream.read_exact(&mut rest)?;
    Ok(stream)
}

/// Allocations while this work runs on the runtime.
fn counted(runtime: &Runtime, work: impl Future<Output = Result>) -> Result<u64> {
    let mut ended = Ok(());
    let counted = measure(|| ended = runtime.block_on(work));
    ended?;
    Ok(counted.count_total)
}

/// A socket with a peer that reads all it is sent, until the socket is gone.
fn push_with_a_reader(runtime: &Runtime) -> Result<Push> {
    let push = Push::new();
    let endpoint = runtime.block_on(push.bind("tcp://127.0.0.1:*"))?;
    thread::spawn(move || {
        let mut stream = peer(&endpoint, "PULL")?;
        let mut buffer = vec![0; 64 << 10];
        while stream.read(&mut buffer)? > 0 {}
        std::io::Result::Ok(())
    });
    Ok(push)
}

/// Sends in bursts, with what they write to the wire themselves, to a peer that has taken the last
/// burst; drivers run in between.
fn allocations_of_sends(size: usize) -> Result<u64> {
    let runtime = runtime()?;
    let push = push_with_a_reader(&runtime)?;
    let message = Bytes::from_static(&PAYLOAD).slice(..size);
    runtime.block_on(async {
        // It waits for the peer.
        push.send(message.clone()).await?;
        let (mut sent, mut allocations) = (0, 0);
        while sent < 2 * MESSAGES {
            let counted = measure(|| {
                for _ in 0..BURST {
                    sent += usize::from(push.try_send(message.clone()).is_ok());
                }
            });
            if sent > MESSAGES {
                allocations += counted.count_total;
            }
            // What a slow reader leaves to wait grows the queue.
            while push.stats().sent.queued > 0 {
                tokio::task::yield_now().await;
            }
        }
        Ok(allocations)
    })
}

/// Sends as fast as it goes, with what the drivers do and what waiting for room costs.
fn allocations_of_a_stream(size: usize) -> Result<u64> {
    let runtime = runtime()?;
    let push = push_with_a_reader(&runtime)?;
    let message = Bytes::from_static(&PAYLOAD).slice(..size);
    let send = async || {
        for _ in 0..MESSAGES {
            push.send(message.clone()).await?;
        }
        Ok(())
    };
    runtime.block_on(send())?;
    counted(&runtime, send())
}

/// Receives messages of this size from a peer that writes them.
fn allocations_of_receiving(size: usize) -> Result<u64> {
    let runtime = runtime()?;
    let pull = Pull::new();
    let endpoint = runtime.block_on(pull.bind("tcp://127.0.0.1:*"))?;
    let writing = thread::spawn(move || {
        let mut stream = peer(&endpoint, "PUSH")?;
        let mut message = match u8::try_from(size) {
            Ok(short) => vec![0, short],
            Err(_) => [&[2][..], &(size as u64).to_be_bytes()].concat(),
        };
        message.extend(&PAYLOAD[..size]);
        let messages = message.repeat(64);
        while stream.write_all(&messages).is_ok() {}
        std::io::Result::Ok(())
    });
    let receive = async || {
        for _ in 0..MESSAGES {
            assert_eq!(pull.recv().await?.first().len(), size);
        }
        Ok(())
    };
    runtime.block_on(receive())?;
    let count = counted(&runtime, receive())?;
    drop(pull);
    drop(runtime);
    writing.join().map_err(|_| "the peer panicked")??;
    Ok(count)
}

#[test]
fn a_send_of_a_small_message_allocates_nothing() -> Result {
    for size in SIZES {
        assert_eq!(allocations_of_sends(size)?, 0, "messages of {size} octets");
    }
    Ok(())
}

#[test]
fn a_stream_of_small_messages_allocates_where_it_waits_alone() -> Result {
    for size in SIZES {
        let each = allocations_of_a_stream(size)? as f64 / MESSAGES as f64;
        println!("{size} octets: {each} allocations for each message sent");
        assert!(each <= 0.01, "{each} for messages of {size} octets");
    }
    Ok(())
}

#[test]
fn messages_that_are_received_share_the_allocation_of_their_chunk() -> Result {
    for size in SIZES {
        let each = allocations_of_receiving(size)? as f64 / MESSAGES as f64;
        println!("{size} octets: {each} allocations for each message received");
        assert!(each <= 0.02, "{each} for messages of {size} octets");
    }
    Ok(())
}

#[test]
fn a_question_and_its_answer_allocate_no_more_than_the_number_that_is_stated() -> Result {
    let runtime = runtime()?;
    let (dealer, router) = (Dealer::new(), Router::new());
    let endpoint = runtime.block_on(router.bind("tcp://127.0.0.1:*"))?;
    runtime.block_on(async { dealer.connect(&endpoint) })?;
    let question = Bytes::from_static(&PAYLOAD[..64]);
    let ask = async || {
        for _ in 0..MESSAGES / 10 {
            dealer.send(question.clone()).await?;
            router.send(router.recv().await?).await?;
            dealer.recv().await?;
        }
        Ok(())
    };
    runtime.block_on(ask())?;
    let each = counted(&runtime, ask())? as f64 / (MESSAGES / 10) as f64;
    println!("{each} allocations for a question and its answer");
    assert!(each <= MOST_FOR_A_QUESTION, "{each}");
    Ok(())
}

#[test]
fn a_call_and_its_answer_allocate_no_more_than_the_number_that_is_stated() -> Result {
    let runtime = runtime()?;
    let (server, client) = runtime.block_on(async {
        let server = Server::builder("echo").bind("tcp://127.0.0.1:*");
        let echo = |request: Request| async move { Ok(Reply::echo(&request)) };
        let server = server.serve(echo).await?;
        let instance = server.instance().ok_or("it was bound")?;
        let client = Client::builder("echo").connect(instance).await?;
        Result::Ok((server, client))
    })?;
    let payload = Bytes::from_static(&PAYLOAD[..64]);
    let call = async || {
        for _ in 0..CALLS {
            let response = client.request("echo").raw(payload.clone()).call().await?;
            assert_eq!(response.outcome?.bytes().len(), payload.len());
        }
        Ok(())
    };
    runtime.block_on(call())?;
    let each = counted(&runtime, call())? as f64 / CALLS as f64;
    println!("{each} allocations for a call and its answer");
    assert!(each <= MOST_FOR_A_CALL, "{each}");
    drop(server);
    Ok(())
}

//! What the layers cost, as far as they can be reached from outside: `cargo bench --bench layers`.

use std::time::Duration;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput};
use pushsub::{Message, Pull, Push, Sub, XPub};
use tokio::io::AsyncWriteExt;
use tokio::runtime::{Builder, Runtime};

/// Messages of a turn: they fit a pipe.
const BATCH: usize = 512;

fn runtime() -> Runtime {
    let mut builder = Builder::new_current_thread();
    builder.enable_all().build().expect("a runtime")
}

async fn receive_batch(pull: &Pull, received: &mut Vec<Message>) {
    while received.len() < BATCH {
        let room = BATCH - received.len();
        pull.recv_many(received, room).await.expect("it is open");
    }
    received.clear();
}

/// Socket, pipe and, but over inproc, frames and a wire: a burst in, a burst out.
fn sockets(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("push to pull, 512 at a time");
    group.throughput(Throughput::Elements(BATCH as u64));
    for endpoint in ["inproc://layers", "memory://layers", "tcp://127.0.0.1:*"] {
        for size in [64, 1024] {
            let runtime = runtime();
            let (push, pull) = (Push::new(), Pull::new());
            let bound = runtime.block_on(pull.bind(endpoint)).expect("it is free");
            runtime.block_on(async { push.connect(&bound).expect("an endpoint") });
            let message = Bytes::from(vec![7; size]);
            let mut received = Vec::with_capacity(BATCH);
            let name = endpoint.split(':').next().unwrap_or_default();
            group.bench_function(BenchmarkId::new(name, size), |bencher| {
                bencher.iter(|| {
                    runtime.block_on(async {
                        for _ in 0..BATCH {
                            push.send(message.clone()).await.expect("it is open");
                        }
                        receive_batch(&pull, &mut received).await;
                    });
                });
            });
            runtime.block_on(push.close(Duration::ZERO));
            runtime.block_on(pull.close(Duration::ZERO));
        }
    }
    group.finish();
}

/// The decoder and the way from it to the application: the peer writes frames that are ready.
fn frames(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("frames of a bare wire, 512 at a time");
    group.throughput(Throughput::Elements(BATCH as u64));
    for size in [0_u8, 64, 255] {
        let runtime = runtime();
        let pull = Pull::new();
        runtime
            .block_on(pull.bind("memory://frames"))
            .expect("it is free");
        let mut greeting = vec![0; 64];
        (greeting[0], greeting[9], greeting[10]) = (0xFF, 0x7F, 3);
        greeting[12..16].copy_from_slice(b"NULL");
        greeting.extend(b"\x04\x1A\x05READY\x0BSocket-Type\0\0\0\x04PUSH");
        let mut wire = runtime.block_on(async {
            let mut wire = pushsub::testing::dial("frames").expect("somebody listens");
            wire.write_all(&greeting).await.expect("it is read");
            wire
        });
        let frame = [&[0, size][..], &vec![7; usize::from(size)]].concat();
        let frames = frame.repeat(BATCH);
        let mut received = Vec::with_capacity(BATCH);
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
            bencher.iter(|| {
                runtime.block_on(async {
                    let (written, ()) =
                        tokio::join!(wire.write_all(&frames), receive_batch(&pull, &mut received));
                    written.expect("it is read");
                });
            });
        });
        runtime.block_on(pull.close(Duration::ZERO));
    }
    group.finish();
}

/// What nobody wants goes no further than the tree of subscriptions.
fn subscriptions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("an unwanted publication among subscriptions");
    for count in [1_usize, 1_000, 100_000] {
        let runtime = runtime();
        let (publisher, subscriber) = (XPub::new(), Sub::new());
        runtime.block_on(async {
            let endpoint = publisher.bind("inproc://topics").await.expect("it is free");
            for number in 0..count {
                subscriber.subscribe(format!("topic {number:06}"));
            }
            subscriber.connect(&endpoint).expect("an endpoint");
            for _ in 0..count {
                publisher.recv().await.expect("it is open");
            }
        });
        let message = Bytes::from_static(b"topic x and more");
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            bencher.iter(|| {
                publisher
                    .try_send(message.clone())
                    .expect("nobody wants it");
            });
        });
        runtime.block_on(subscriber.close(Duration::ZERO));
        runtime.block_on(publisher.close(Duration::ZERO));
    }
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    sockets(&mut criterion);
    frames(&mut criterion);
    subscriptions(&mut criterion);
    criterion.final_summary();
}

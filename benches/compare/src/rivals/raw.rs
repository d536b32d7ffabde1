//! What the wire gives: length-prefixed frames, copied into 64 KiB writes over a std socket.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use anyhow::Result;

use super::PATIENCE;
use crate::row::{Row, Tally, number};

const BUFFER: usize = 64 * 1024;
const PREFIX: usize = 4;

pub(super) fn receive(row: Row, messages: u64, tally: &mut Tally) -> Result<Duration> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?);
    let (mut stream, _) = listener.accept()?;
    stream.set_read_timeout(Some(PATIENCE))?;
    // A frame that is cut stays at the front, and the next read goes behind it.
    let mut buffer = vec![0; BUFFER + PREFIX + row.size()];
    let mut filled = 0;
    let mut elapsed = Duration::ZERO;
    while tally.received < messages {
        match stream.read(&mut buffer[filled..]) {
            Ok(0) | Err(_) => break,
            Ok(count) => filled += count,
        }
        let mut start = 0;
        while let Some(prefix) = buffer[start..filled].first_chunk::<PREFIX>() {
            let end = start + PREFIX + u32::from_le_bytes(*prefix) as usize;
            if end > filled {
                break;
            }
            tally.note(&buffer[start + PREFIX..end]);
            start = end;
        }
        elapsed = tally.elapsed();
        buffer.copy_within(start..filled, 0);
        filled -= start;
    }
    Ok(elapsed)
}

pub(super) fn send(row: Row, messages: u64, address: &str) -> Result<u64> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut payload = row.payload();
    let prefix = u32::try_from(payload.len())?.to_le_bytes();
    let mut buffer = Vec::with_capacity(BUFFER);
    for sequence in 0..messages {
        if buffer.len() + PREFIX + payload.len() > BUFFER {
            stream.write_all(&buffer)?;
            buffer.clear();
        }
        number(&mut payload, sequence);
        buffer.extend_from_slice(&prefix);
        buffer.extend_from_slice(&payload);
    }
    stream.write_all(&buffer)?;
    Ok(messages)
}

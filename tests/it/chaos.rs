//! The chaos proxy does what it says; `patterns` and `services` are what sockets and services do behind it.

mod faults;
mod patterns;
mod services;

use std::time::Duration;

use pushsub::Endpoint;
use pushsub::testing::{Listening, dial};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};

use crate::support::chaos::{Chaos, Faults, Strike, Way, When};
use crate::support::{Result, in_real_time, in_virtual_time, memory_name};

const SECOND: Duration = Duration::from_secs(1);

/// A proxy with both ends of one connection through it: who dials, and who is bound.
async fn joined(seed: u64, faults: Faults) -> Result<(Chaos, DuplexStream, DuplexStream)> {
    let name = memory_name();
    let mut listening = Listening::bind(&name)?;
    let target: Endpoint = format!("memory://{name}").parse()?;
    let chaos = Chaos::before(&target, seed).await?;
    chaos.set(Way::Forth, faults);
    let near = dial(chaos.endpoint().to_string().trim_start_matches("memory://"))?;
    let far = listening.accept().await?;
    Ok((chaos, near, far))
}

async fn read(wire: &mut DuplexStream, count: usize) -> Result<Vec<u8>> {
    let mut octets = vec![0; count];
    wire.read_exact(&mut octets).await?;
    Ok(octets)
}

#[test]
fn octets_are_late_by_the_latency_and_no_more() -> Result {
    in_virtual_time(async {
        let faults = Faults {
            latency: SECOND / 5,
            ..Faults::default()
        };
        let (_chaos, mut near, mut far) = joined(1, faults).await?;
        for _ in 0..10 {
            let since = Instant::now();
            near.write_all(b"late").await?;
            assert_eq!(read(&mut far, 4).await?, b"late");
            let late = since.elapsed();
            assert!((SECOND / 5..SECOND / 4).contains(&late), "{late:?}");
            far.write_all(b"at once").await?;
            assert_eq!(read(&mut near, 7).await?, b"at once");
            assert_eq!(since.elapsed(), late, "the other way is as good as ever");
        }
        Ok(())
    })
}

#[test]
fn jitter_keeps_the_order() -> Result {
    in_virtual_time(async {
        let faults = Faults {
            jitter: SECOND,
            ..Faults::default()
        };
        let (_chaos, mut near, mut far) = joined(2, faults).await?;
        let mut times = Vec::new();
        for number in 0..100 {
            let since = Instant::now();
            near.write_all(&[number]).await?;
            assert_eq!(read(&mut far, 1).await?, [number]);
            times.push(since.elapsed());
        }
        times.sort_unstable();
        assert!(
            times[5] < SECOND / 5 && times[95] > SECOND * 4 / 5,
            "{times:?}"
        );
        for number in 0..100 {
            near.write_all(&[number]).await?;
            tokio::time::advance(SECOND / 50).await;
        }
        assert!(read(&mut far, 100).await?.into_iter().eq(0..100));
        Ok(())
    })
}

#[test]
fn bandwidth_is_what_passes_in_a_second() -> Result {
    in_virtual_time(async {
        let faults = Faults {
            bandwidth: Some(10_000),
            ..Faults::default()
        };
        let (_chaos, mut near, mut far) = joined(3, faults).await?;
        let since = Instant::now();
        let writing = near.write_all(&[7; 100_000]);
        let (written, octets) = tokio::join!(writing, read(&mut far, 100_000));
        written?;
        octets?;
        let took = since.elapsed();
        assert!((SECOND * 10..SECOND * 11).contains(&took), "{took:?}");
        Ok(())
    })
}

#[test]
fn slices_are_as_small_as_asked_and_keep_every_octet() -> Result {
    in_virtual_time(async {
        let faults = Faults {
            slice: Some(3),
            ..Faults::default()
        };
        let (_chaos, mut near, mut far) = joined(4, faults).await?;
        let sent: Vec<u8> = (0..=255).collect();
        near.write_all(&sent).await?;
        let (mut came, mut buffer) = (Vec::new(), [0; 256]);
        while came.len() < sent.len() {
            let count = far.read(&mut buffer).await?;
            assert!((1..=3).contains(&count), "{count}");
            came.extend_from_slice(&buffer[..count]);
        }
        assert_eq!(came, sent);
        Ok(())
    })
}

async fn flipped(seed: u64) -> Result<Vec<u8>> {
    let faults = Faults {
        flip_every: Some(1_000),
        ..Faults::default()
    };
    let (chaos, mut near, mut far) = joined(seed, faults).await?;
    let writing = near.write_all(&[0; 100_000]);
    let (written, octets) = tokio::join!(writing, read(&mut far, 100_000));
    written?;
    let octets = octets?;
    let turned: u32 = octets.iter().map(|octet| octet.count_ones()).sum();
    assert_eq!(u64::from(turned), chaos.flips());
    assert!((70..140).contains(&turned), "{turned}");
    Ok(octets)
}

#[test]
fn bits_are_turned_where_the_seed_says() -> Result {
    in_virtual_time(async {
        let first = flipped(5).await?;
        assert!(first == flipped(5).await?);
        assert!(first != flipped(6).await?);
        Ok(())
    })
}

#[test]
fn a_reset_cuts_both_ways_behind_its_octet() -> Result {
    in_virtual_time(async {
        let faults = Faults {
            strike: Some((When::Octets(10), Strike::Reset)),
            ..Faults::default()
        };
        let (_chaos, mut near, mut far) = joined(7, faults).await?;
        near.write_all(&[7; 100]).await?;
        let mut came = Vec::new();
        far.read_to_end(&mut came).await?;
        assert_eq!(came, [7; 10]);
        assert_eq!(near.read(&mut [0; 8]).await?, 0);
        Ok(())
    })
}

#[test]
fn a_strike_comes_at_its_time_or_by_hand() -> Result {
    in_virtual_time(async {
        let faults = Faults {
            strike: Some((When::Time(SECOND), Strike::Reset)),
            ..Faults::default()
        };
        let (_chaos, _near, mut far) = joined(8, faults).await?;
        let since = Instant::now();
        assert_eq!(far.read(&mut [0; 8]).await?, 0);
        let after = since.elapsed();
        assert!(
            (SECOND * 9 / 10..SECOND * 11 / 10).contains(&after),
            "{after:?}"
        );
        let (chaos, mut near, mut far) = joined(8, Faults::default()).await?;
        near.write_all(b"before").await?;
        assert_eq!(read(&mut far, 6).await?, b"before");
        chaos.strike(Way::Back, Strike::Reset);
        assert_eq!(far.read(&mut [0; 8]).await?, 0);
        Ok(())
    })
}

#[test]
fn a_half_close_ends_one_way_alone() -> Result {
    in_virtual_time(async {
        let faults = Faults {
            strike: Some((When::Octets(5), Strike::HalfClose)),
            ..Faults::default()
        };
        let (_chaos, mut near, mut far) = joined(9, faults).await?;
        near.write_all(b"early too late").await?;
        let mut came = Vec::new();
        far.read_to_end(&mut came).await?;
        assert_eq!(came, b"early");
        far.write_all(b"still there").await?;
        assert_eq!(read(&mut near, 11).await?, b"still there");
        Ok(())
    })
}

#[test]
fn a_black_hole_holds_everything_until_it_is_healed() -> Result {
    in_virtual_time(async {
        let (chaos, mut near, mut far) = joined(10, Faults::default()).await?;
        chaos.strike(Way::Forth, Strike::Blackhole);
        near.write_all(b"held").await?;
        let hour = Duration::from_secs(1_000);
        assert!(timeout(hour, far.read(&mut [0; 8])).await.is_err());
        far.write_all(b"not held").await?;
        assert_eq!(read(&mut near, 8).await?, b"not held");
        chaos.strike(Way::Forth, Strike::Heal);
        assert_eq!(read(&mut far, 4).await?, b"held");
        Ok(())
    })
}

#[test]
fn on_tcp_a_reset_is_a_reset() -> Result {
    in_real_time(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let target: Endpoint = format!("tcp://{}", listener.local_addr()?).parse()?;
        let chaos = Chaos::before(&target, 11).await?;
        let address = chaos.endpoint().to_string();
        let mut near = TcpStream::connect(address.trim_start_matches("tcp://")).await?;
        let (mut far, _) = listener.accept().await?;
        near.write_all(b"before").await?;
        let mut octets = [0; 6];
        far.read_exact(&mut octets).await?;
        assert_eq!(chaos.connections(), 1);
        chaos.strike(Way::Forth, Strike::Reset);
        let error = far.read(&mut octets).await.err().ok_or("no error")?;
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        Ok(())
    })
}

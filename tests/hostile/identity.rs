//! Identities that are none, are taken or come again, and socket types that do not fit.

use pushsub::{Message, Options, Router, SendError, SocketType, TrySendError};
use tokio::io::DuplexStream;

use crate::support::octets::{
    COMMAND, command, greeting, header, ping, property, ready_with, session_as,
};
use crate::support::stage::{Delivery, Fate, Side, Stage, options};
use crate::support::tally::Row;
use crate::support::victim::Victim;
use crate::support::wage::{Attack, war};
use crate::support::{Result, in_virtual_time, settle};

const SIDES: [Side; 2] = [Side::Bound, Side::Dials];

/// BI-16, N08, N09: each of the pairs that are not legal, and types that are none, are told why.
#[test]
fn a_type_that_does_not_fit_is_refused_with_an_error() -> Result {
    war("BI-16", &SocketType::ALL, |aim| {
        let attack = |name: &[u8]| {
            let octets = [greeting(), ready_with(name, b"")].concat();
            let name = String::from_utf8_lossy(name).into_owned();
            Attack::new(name, octets, Fate::RefusedWithError)
        };
        let illegal = SocketType::ALL
            .into_iter()
            .filter(|peer| !aim.kind.accepts(*peer));
        let mut attacks: Vec<_> = illegal.map(|peer| attack(peer.name().as_bytes())).collect();
        let partner = aim.partner().name();
        let none: [&[u8]; 10] = [
            b"",
            b"CLIENT",
            b"SERVER",
            b"RADIO",
            b"DISH",
            b"PEER",
            b"XYZZY",
            b"\xff\0",
            &partner.to_lowercase().into_bytes(),
            &[partner.as_bytes(), b"\0"].concat(),
        ];
        attacks.extend(none.iter().map(|name| attack(name)));
        let missing = [greeting(), command("READY", &property(b"Identity", b"x"))].concat();
        attacks.push(Attack::new("missing", missing, Fate::RefusedWithError));
        attacks
    })
}

/// BI-17, N10: a ROUTER takes 1 to 255 octets, others do not look; nobody takes what no READY holds.
#[test]
fn an_identity_has_its_length() -> Result {
    let kinds = [
        SocketType::Router,
        SocketType::Dealer,
        SocketType::Pull,
        SocketType::Rep,
    ];
    war("BI-17", &kinds, |aim| {
        let attack = |length: usize, fate| {
            let octets = session_as(aim.partner(), &vec![b'i'; length]);
            Attack::new(format!("{length} octets"), octets, fate)
        };
        let above = match aim.kind {
            SocketType::Router => Fate::Refused,
            _ => Fate::Stays,
        };
        let announced = [greeting(), header(COMMAND, 5 << 20), vec![5; 1_000]].concat();
        vec![
            attack(0, Fate::Stays),
            attack(1, Fate::Stays),
            attack(255, Fate::Stays),
            attack(256, above),
            attack(8_000, above),
            attack(8_192, Fate::Refused),
            attack(70_000, Fate::Refused),
            Attack::new("5 MiB", announced, Fate::Refused),
        ]
    })
}

/// BI-18: names with a zero in front are the ROUTER's own, and who brings one is refused.
#[test]
fn an_identity_of_the_routers_own_kind_is_refused() -> Result {
    let mut row = Row::new("BI-18");
    for side in SIDES {
        let told = in_virtual_time(async {
            let mut stage = Stage::new(SocketType::Router, side, options()).await?;
            let peers = stage.victim.stats().peers;
            let drawn = peers.iter().find(|peer| peer.identity.len() == 5);
            let live = drawn.ok_or("the canary has no name")?.identity.to_vec();
            let mut next = live.clone();
            next[4] = next[4].wrapping_add(1);
            for identity in [live, next, vec![0], vec![0; 255], b"\0name".to_vec()] {
                let octets = session_as(SocketType::Dealer, &identity);
                for delivery in [Delivery::Whole, Delivery::Octets, Delivery::Split(70)] {
                    stage.attack(&octets, delivery, Fate::Refused).await?;
                }
            }
            stage.finish().await
        });
        row.note(format_args!("{side:?}"), told);
        row.held(14);
    }
    row.finish()
}

/// BI-19a: the second is refused while the first lives, and let in when it is gone.
#[test]
fn a_second_peer_of_a_name_waits_for_the_end_of_the_first() -> Result {
    let mut row = Row::new("BI-19a");
    for delivery in [Delivery::Whole, Delivery::Octets, Delivery::Split(64)] {
        let told = in_virtual_time(async {
            let mut stage = Stage::new(SocketType::Router, Side::Bound, options()).await?;
            let octets = session_as(SocketType::Dealer, b"twin");
            for _ in 0..5 {
                let first = stage.peer(&octets).await?;
                settle().await;
                stage.accept_tasks();
                stage.attack(&octets, delivery, Fate::Refused).await?;
                drop(first);
                settle().await;
                stage.attack(&octets, delivery, Fate::Stays).await?;
            }
            Ok(())
        });
        row.note(format_args!("{delivery:?}"), told);
        row.held(9);
    }
    row.finish()
}

/// BI-19a: with handover the first is cut, and what waited for it does not go to the second.
#[test]
fn with_handover_the_second_takes_the_place_of_the_first() -> Result {
    let mut row = Row::new("BI-19a handover");
    let told = in_virtual_time(async {
        let options = options().handover(true);
        let mut stage = Stage::new(SocketType::Router, Side::Bound, options).await?;
        let octets = session_as(SocketType::Dealer, b"twin");
        let mut wires: Vec<DuplexStream> = Vec::new();
        for _ in 0..50 {
            wires.push(stage.peer(&octets).await?);
            settle().await;
            let peers = stage.victim.stats().peers;
            let twins = peers.iter().filter(|peer| peer.identity == "twin");
            if twins.count() != 1 {
                return Err(format!("{peers:?}").into());
            }
            stage.round_trip().await?;
        }
        Ok(())
    });
    row.note("50 twins", told);
    row.held(49);
    row.finish()
}

/// BI-19c: however many come and go, the table has who is there.
#[test]
fn peers_that_come_and_go_leave_no_name_behind() -> Result {
    let mut row = Row::new("BI-19c");
    for identified in [true, false] {
        let told = in_virtual_time(async {
            let mut stage = Stage::new(SocketType::Router, Side::Bound, options()).await?;
            for number in 0..1_000_u32 {
                let name = format!("peer {number}");
                let name = if identified { name.as_bytes() } else { b"" };
                drop(stage.peer(&session_as(SocketType::Dealer, name)).await?);
            }
            settle().await;
            let peers = stage.victim.stats().peers.len();
            if peers != 1 {
                return Err(format!("{peers} peers are left").into());
            }
            stage.finish().await
        });
        row.note(format_args!("identified {identified}"), told);
        row.held(999);
    }
    row.finish()
}

/// BI-19d: where no ROUTER is, names mean nothing, and two peers may share one.
#[test]
fn where_names_mean_nothing_two_may_share_one() -> Result {
    let mut row = Row::new("BI-19d");
    for kind in [
        SocketType::Pull,
        SocketType::Push,
        SocketType::Pub,
        SocketType::Rep,
    ] {
        let told = in_virtual_time(async {
            let mut stage = Stage::new(kind, Side::Bound, options()).await?;
            let octets = session_as(crate::support::victim::partner(kind), b"same");
            let _first = stage.peer(&octets).await?;
            settle().await;
            stage.accept_tasks();
            for delivery in [Delivery::Whole, Delivery::Octets, Delivery::Split(80)] {
                stage.attack(&octets, delivery, Fate::Stays).await?;
            }
            Ok(())
        });
        row.note(kind, told);
        row.held(2);
    }
    row.finish()
}

/// BI-19: what a ROUTER is told to send to nobody, or to nobody any more, is counted or given back.
#[test]
fn a_router_that_is_misused_neither_waits_nor_panics() -> Result {
    let mut row = Row::new("BI-19");
    for mandatory in [false, true] {
        let told = in_virtual_time(async {
            let options = options().mandatory(mandatory);
            let mut stage = Stage::new(SocketType::Router, Side::Bound, options).await?;
            let gone = stage.peer(&session_as(SocketType::Dealer, b"gone")).await?;
            drop(gone);
            settle().await;
            let Victim::Router(router) = stage.victim.clone() else {
                return Err("no ROUTER".into());
            };
            for name in [&b""[..], b"gone", b"nobody", b"\0\0\0\0\0", &[7; 300]] {
                misuse(&router, name, mandatory)?;
            }
            stage.round_trip().await
        });
        row.note(format_args!("mandatory {mandatory}"), told);
        row.held(9);
    }
    row.note("a full peer", in_virtual_time(full_peer()));
    row.finish()
}

/// Two messages to this name, of one frame and of two, many times.
fn misuse(router: &Router, name: &[u8], mandatory: bool) -> Result {
    for _ in 0..2_000 {
        let alone = Message::from(name.to_vec());
        let mut addressed = alone.clone();
        addressed.push_back("body");
        for message in [alone, addressed] {
            let sent = router.try_send(message);
            let as_it_must = match &sent {
                Ok(()) => !mandatory,
                Err(TrySendError::Refused(error)) => {
                    !matches!(error, SendError::Closed(_)) && mandatory
                }
                Err(_) => false,
            };
            if !as_it_must {
                return Err(format!("{name:?}: {sent:?}").into());
            }
        }
    }
    Ok(())
}

/// A peer that reads nothing: the ROUTER drops and counts, and serves the others.
async fn full_peer() -> Result {
    let options: Options = options().send_high_water_mark(10);
    let mut stage = Stage::new(SocketType::Router, Side::Bound, options).await?;
    let mut wire = stage.peer(&session_as(SocketType::Dealer, b"full")).await?;
    for _ in 0..2_000 {
        let mut message = Message::from("full");
        message.push_back(vec![0; 1_000]);
        if !stage.victim.try_send(message) {
            return Err("it did not take a message for a full peer".into());
        }
    }
    let dropped = stage.victim.stats().sent.dropped.full;
    if dropped == 0 {
        return Err("nothing was counted as dropped".into());
    }
    stage.round_trip().await?;
    // It is cut for nothing but what it does itself.
    tokio::io::AsyncWriteExt::write_all(&mut wire, &ping(0, b"x")).await?;
    stage.round_trip().await?;
    Ok(())
}

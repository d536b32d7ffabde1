//! What is peculiar to ipc: files, who may use them, and what becomes of them.
#![allow(clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::time::Duration;

use pushsub::{BindError, ConnectError, Endpoint, Event, IpcName, LinkError, Options, Pull, Push};

use crate::support::{Folder, Result, event, in_real_time};

fn path(endpoint: &Endpoint) -> std::path::PathBuf {
    match endpoint {
        Endpoint::Ipc(IpcName::File(path)) => path.clone(),
        other => panic!("{other} is no socket file"),
    }
}

#[track_caller]
fn assert_in_use(bound: std::result::Result<Endpoint, BindError>) {
    let Err(BindError::Io { source, .. }) = bound else {
        panic!("{bound:?} is not the error of an address in use");
    };
    assert_eq!(source.kind(), ErrorKind::AddrInUse);
}

async fn exchange(pull: &Pull, endpoint: &Endpoint) -> Result {
    let push = Push::new();
    push.connect(endpoint)?;
    push.send("hello").await?;
    assert_eq!(pull.recv().await?.first(), "hello");
    Ok(())
}

/// FT-45: what a crashed process left is replaced.
#[test]
fn a_file_on_which_nobody_listens_is_taken_over() -> Result {
    let folder = Folder::new()?;
    in_real_time(async {
        drop(UnixListener::bind(folder.file("socket"))?);
        let pull = Pull::new();
        let endpoint = pull.bind(folder.endpoint("socket")).await?;
        exchange(&pull, &endpoint).await
    })
}

/// FT-45.
#[test]
fn a_live_listener_keeps_its_file() -> Result {
    let folder = Folder::new()?;
    in_real_time(async {
        let pull = Pull::new();
        let endpoint = pull.bind(folder.endpoint("socket")).await?;
        assert_in_use(Pull::new().bind(&endpoint).await);
        exchange(&pull, &endpoint).await
    })
}

/// Also one whose queue of connections is full, which answers nobody.
#[test]
fn a_listener_that_does_not_accept_keeps_its_file() -> Result {
    let folder = Folder::new()?;
    in_real_time(async {
        let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None)?;
        let address = socket2::SockAddr::unix(folder.file("socket"))?;
        socket.bind(&address)?;
        socket.listen(0)?;
        let _waiting = std::os::unix::net::UnixStream::connect(folder.file("socket"))?;
        assert_in_use(Pull::new().bind(folder.endpoint("socket")).await);
        Ok(())
    })
}

#[test]
fn what_is_no_socket_is_never_removed() -> Result {
    let folder = Folder::new()?;
    in_real_time(async {
        let file = folder.file("file");
        fs::write(&file, "precious")?;
        drop(UnixListener::bind(folder.file("stale"))?);
        symlink(folder.file("stale"), folder.file("link"))?;
        fs::create_dir(folder.file("folder"))?;
        for name in ["file", "link", "folder"] {
            assert_in_use(Pull::new().bind(folder.endpoint(name)).await);
            assert!(fs::symlink_metadata(folder.file(name)).is_ok());
        }
        assert_eq!(fs::read_to_string(&file)?, "precious");
        Ok(())
    })
}

/// Many processes that start at once after a crash: one gets the file, and it works.
#[test]
fn of_many_that_find_a_stale_file_one_takes_it_over() -> Result {
    let folder = Folder::new()?;
    in_real_time(async {
        for _ in 0..20 {
            drop(UnixListener::bind(folder.file("socket"))?);
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    let endpoint = folder.endpoint("socket");
                    std::thread::spawn(move || {
                        let pull = Pull::new();
                        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
                        let bound = runtime.block_on(pull.bind(endpoint));
                        bound.map(|endpoint| (pull, endpoint, runtime))
                    })
                })
                .collect();
            let mut winners = Vec::new();
            for thread in threads {
                match thread.join().expect("it does not panic") {
                    Ok(winner) => winners.push(winner),
                    Err(error) => assert_in_use(Err(error)),
                }
            }
            let [(pull, endpoint, _)] = &winners[..] else {
                panic!("{} took it over", winners.len());
            };
            exchange(pull, endpoint).await?;
            for (_, _, runtime) in winners {
                runtime.shutdown_background();
            }
            let _ = fs::remove_file(folder.file("socket"));
        }
        Ok(())
    })
}

#[test]
fn a_socket_file_is_for_its_user_alone() -> Result {
    let folder = Folder::new()?;
    in_real_time(async {
        let pull = Pull::new();
        pull.bind(folder.endpoint("socket")).await?;
        let mode = fs::metadata(folder.file("socket"))?.permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        Ok(())
    })
}

#[test]
fn the_file_goes_with_the_listener() -> Result {
    let folder = Folder::new()?;
    in_real_time(async {
        let pull = Pull::new();
        let endpoint = pull.bind(folder.endpoint("socket")).await?;
        pull.close(Duration::ZERO).await;
        assert!(!path(&endpoint).exists());
        Ok(())
    })
}

/// Another process may have removed our file and put its own in its place.
#[test]
fn a_file_of_somebody_else_is_left_where_it_is() -> Result {
    let folder = Folder::new()?;
    in_real_time(async {
        let pull = Pull::new();
        let endpoint = pull.bind(folder.endpoint("socket")).await?;
        let ours = path(&endpoint);
        // Renamed and not removed: the system could give the inode to the next file.
        fs::rename(&ours, folder.file("moved"))?;
        let _theirs = UnixListener::bind(&ours)?;
        pull.close(Duration::ZERO).await;
        assert!(ours.exists());
        Ok(())
    })
}

#[test]
fn a_wildcard_is_a_fresh_file_for_each() -> Result {
    in_real_time(async {
        let (one, two) = (Pull::new(), Pull::new());
        let first = one.bind("ipc://*").await?;
        let second = two.bind("ipc://*").await?;
        assert_ne!(first, second);
        exchange(&one, &first).await?;
        exchange(&two, &second).await?;
        assert!(matches!(
            Push::new().connect("ipc://*"),
            Err(ConnectError::Wildcard(_))
        ));
        for (pull, endpoint) in [(one, first), (two, second)] {
            pull.close(Duration::ZERO).await;
            assert!(!path(&endpoint).exists());
        }
        Ok(())
    })
}

#[cfg(target_os = "linux")]
#[test]
fn an_abstract_name_is_no_file_and_is_free_again() -> Result {
    in_real_time(async {
        let name = format!("ipc://@pushsub-{}", std::process::id());
        for _ in 0..2 {
            let pull = Pull::new();
            let endpoint = pull.bind(&name).await?;
            assert_eq!(endpoint.to_string(), name);
            assert_in_use(Pull::new().bind(&name).await);
            exchange(&pull, &endpoint).await?;
            pull.close(Duration::ZERO).await;
        }
        Ok(())
    })
}

/// BI-111.
#[test]
fn a_folder_that_is_not_there_is_a_typed_error() -> Result {
    let folder = Folder::new()?;
    in_real_time(async {
        let bound = Pull::new().bind(folder.endpoint("no/such/socket")).await;
        let Err(BindError::Io { source, .. }) = bound else {
            return Err(format!("{bound:?}").into());
        };
        assert_eq!(source.kind(), ErrorKind::NotFound);
        Ok(())
    })
}

/// B2: the system vouches for the peer's process.
#[test]
fn a_monitor_tells_whose_process_a_peer_is() -> Result {
    let folder = Folder::new()?;
    in_real_time(async {
        let pull = Pull::new();
        let mut monitor = pull.monitor();
        let endpoint = pull.bind(folder.endpoint("socket")).await?;
        exchange(&pull, &endpoint).await?;
        let connected = event(&mut monitor, |event| {
            matches!(event, Event::Connected { .. })
        })
        .await;
        let Event::Connected { peer, .. } = connected else {
            unreachable!("awaited above")
        };
        let credentials = peer.credentials.ok_or("Unix tells")?;
        assert_eq!(
            credentials.process,
            Some(i32::try_from(std::process::id())?)
        );
        assert!(peer.address.contains(&std::process::id().to_string()));
        Ok(())
    })
}

/// B2.
#[test]
fn a_peer_of_another_user_is_turned_away_with_an_event() -> Result {
    let folder = Folder::new()?;
    in_real_time(async {
        let pull = Pull::with_options(Options::default().accept_users([u32::MAX - 1]))?;
        let mut monitor = pull.monitor();
        let endpoint = pull.bind(folder.endpoint("socket")).await?;
        let push = Push::new();
        push.connect(&endpoint)?;
        event(&mut monitor, |event| {
            matches!(
                event,
                Event::Refused {
                    reason: LinkError::NotAdmitted,
                    ..
                }
            )
        })
        .await;
        Ok(())
    })
}

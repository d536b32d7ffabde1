//! What streamer, queue and forwarder have in common on the command line: all but their names.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use bytesize::ByteSize;
use clap::Args;
use pushsub::{Device, DeviceBuilder, Endpoint, Options, Pub, Side};

use crate::common::{Signals, duration, endpoint, runtime};

/// Where a device binds and connects, and how it stops.
#[derive(Debug, Args)]
pub(crate) struct Sides {
    /// Bind the front here; `*` for a port that the system picks; may be repeated
    #[arg(long, value_name = "ENDPOINT", value_parser = endpoint)]
    front: Vec<Endpoint>,

    /// Connect the front there; may be repeated
    #[arg(long, value_name = "ENDPOINT", value_parser = endpoint)]
    connect_front: Vec<Endpoint>,

    /// Bind the back here; `*` for a port that the system picks; may be repeated
    #[arg(long, value_name = "ENDPOINT", value_parser = endpoint)]
    back: Vec<Endpoint>,

    /// Connect the back there; may be repeated
    #[arg(long, value_name = "ENDPOINT", value_parser = endpoint)]
    connect_back: Vec<Endpoint>,

    /// Publish a copy of every message here, for a SUB; a slow one misses some
    #[arg(long, value_name = "ENDPOINT", value_parser = endpoint)]
    capture: Option<Endpoint>,

    /// How many messages wait for each peer, in each direction
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    #[arg(default_value = "1000")]
    high_water_mark: u32,

    /// How many octets wait for each peer, in each direction
    #[arg(long, value_name = "SIZE", default_value = "8MiB")]
    high_water_mark_bytes: ByteSize,

    /// Listen beyond this machine though nothing is encrypted and nobody proves who
    /// they are
    #[arg(long)]
    insecure: bool,

    /// How long a stop may take to forward and write what has come
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "1s")]
    linger: Duration,
}

/// A device's name, and where it binds a side that is told nothing.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) front: &'static str,
    pub(crate) back: &'static str,
}

/// Runs a device until a signal ends it.
pub(crate) fn run<F: Side, B: Side>(kind: Kind, arguments: Sides) -> Result<ExitCode, String> {
    let served = runtime(kind.name)?.block_on(serve::<F, B>(kind, arguments));
    served.map_err(|error| format!("{}: {error}", kind.name))
}

async fn serve<F: Side, B: Side>(kind: Kind, arguments: Sides) -> Result<ExitCode, String> {
    // Before the endpoints are printed: whoever reads them may stop us at once.
    let mut signals = Signals::new().map_err(|error| format!("no signals: {error}"))?;
    let linger = arguments.linger;
    let (capture, tap) = capture(&arguments).await?;
    let mut builder = builder::<F, B>(kind, arguments);
    if let Some(publisher) = tap {
        builder = builder.capture(publisher);
    }
    let device = builder.spawn().await.map_err(|error| error.to_string())?;
    announce(&device, capture.as_ref());
    let signal = signals.next().await;
    tracing::info!(signal, "stopping: what has come is forwarded");
    tokio::select! {
        closed = device.close(linger) => {
            let stats = closed.stats;
            tracing::info!(
                forth = stats.forth.sent,
                home = stats.home.sent,
                refused = stats.forth.refused + stats.home.refused,
                unsent = closed.front.unsent + closed.back.unsent,
                unread = closed.front.undelivered + closed.back.undelivered,
                "stopped"
            );
            Ok(ExitCode::SUCCESS)
        }
        signal = signals.next() => {
            tracing::warn!(signal, "stopped before all was forwarded");
            Ok(ExitCode::FAILURE)
        }
    }
}

/// The publisher of the copies, if they are wanted, and where it listens.
async fn capture(arguments: &Sides) -> Result<(Option<Endpoint>, Option<Pub>), String> {
    let Some(endpoint) = &arguments.capture else {
        return Ok((None, None));
    };
    let publisher = Pub::with_options(options(arguments)).map_err(|error| error.to_string())?;
    let bound = publisher.bind(endpoint).await;
    let bound = bound.map_err(|error| error.to_string())?;
    Ok((Some(bound), Some(publisher)))
}

fn options(arguments: &Sides) -> Options {
    let messages = arguments.high_water_mark as usize;
    let octets = arguments.high_water_mark_bytes.as_u64();
    let octets = usize::try_from(octets).unwrap_or(usize::MAX);
    let options = Options::default()
        .send_high_water_mark(messages)
        .receive_high_water_mark(messages)
        .send_high_water_mark_bytes(octets)
        .receive_high_water_mark_bytes(octets);
    if arguments.insecure {
        options.allow_plaintext()
    } else {
        options
    }
}

fn builder<F: Side, B: Side>(kind: Kind, mut arguments: Sides) -> DeviceBuilder<F, B> {
    let options = options(&arguments);
    let mut builder = Device::builder()
        .front_options(options.clone())
        .back_options(options);
    if arguments.front.is_empty() && arguments.connect_front.is_empty() {
        builder = builder.front(kind.front);
    }
    if arguments.back.is_empty() && arguments.connect_back.is_empty() {
        builder = builder.back(kind.back);
    }
    builder = arguments
        .front
        .drain(..)
        .fold(builder, DeviceBuilder::front);
    let connected = arguments.connect_front.drain(..);
    builder = connected.fold(builder, DeviceBuilder::connect_front);
    builder = arguments.back.drain(..).fold(builder, DeviceBuilder::back);
    let connected = arguments.connect_back.drain(..);
    connected.fold(builder, DeviceBuilder::connect_back)
}

/// Tells scripts where everybody connects. Nobody may be reading.
fn announce<F: Side, B: Side>(device: &Device<F, B>, capture: Option<&Endpoint>) {
    let named = |name, endpoints: &[Endpoint]| -> String {
        let lines = endpoints
            .iter()
            .map(|endpoint| format!("{name} {endpoint}\n"));
        lines.collect()
    };
    let lines = [
        named("front", device.fronts()),
        named("back", device.backs()),
        named("capture", capture.map_or(&[], std::slice::from_ref)),
    ];
    let mut out = std::io::stdout().lock();
    let _ = out
        .write_all(lines.concat().as_bytes())
        .and_then(|()| out.flush());
}

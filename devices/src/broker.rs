//! `pushsub broker`: the load balancer between clients and workers.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use bytesize::ByteSize;
use clap::Args;
use pushsub::{Broker, BrokerBuilder, Endpoint, Instance};

use crate::common::{Signals, duration, endpoint, runtime};

const EXAMPLES: &str = "\
It prints three lines to stdout when it is ready, with the ports that were picked:
  requests tcp://127.0.0.1:6001
  responses tcp://127.0.0.1:6002
  workers tcp://127.0.0.1:6003

Clients are told the first two, workers the third:
  Client::builder(\"geo\").client_id(\"web-7\")
      .connect(Instance::new(\"tcp://127.0.0.1:6001\", \"tcp://127.0.0.1:6002\")?)
  Server::builder(\"geo\").connect(\"tcp://127.0.0.1:6003\").serve(handler)

Examples:
  pushsub broker
  pushsub broker --front 'tcp://127.0.0.1:*' --back 'tcp://127.0.0.1:*'
  pushsub broker --front 'tcp://*:6001' --back 'tcp://*:6003' --insecure
  pushsub broker --heartbeat 250ms --queue-messages 1000 --queue-bytes 16MiB

SIGTERM and SIGINT let the requests that it has be answered, for --drain at most;
a second one ends it at once. Exit code: 0 after a drain, 1 after a second signal,
2 for what is wrong with the arguments or endpoints.";

/// Balance the requests of clients over the workers that serve them
///
/// Clients push requests to the front and subscribe to the responses there. Workers
/// connect to the back, say what they serve and how much they take at once, and are
/// given no more than that: a request goes to the worker with the least to do, or, if
/// it has a key, in order to the worker that the key belongs to. Requests wait while
/// no worker has room, and are answered as overloaded when too many do. When a worker
/// is lost, its idempotent requests go to another, and the rest are answered as
/// unknown at once.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Where clients push requests; `*` for a port that the system picks
    #[arg(long, value_name = "ENDPOINT", value_parser = endpoint)]
    #[arg(default_value = "tcp://127.0.0.1:6001")]
    front: Endpoint,

    /// Where clients subscribe to responses [default: the port after that of --front; for ipc its
    /// path with "-responses"]
    #[arg(long, value_name = "ENDPOINT", value_parser = endpoint)]
    front_responses: Option<Endpoint>,

    /// Where workers connect
    #[arg(long, value_name = "ENDPOINT", value_parser = endpoint)]
    #[arg(default_value = "tcp://127.0.0.1:6003")]
    back: Endpoint,

    /// Listen beyond this machine though nothing is encrypted and nobody proves who
    /// they are
    #[arg(long)]
    insecure: bool,

    /// How often workers and clients are to be heard: the same at both ends
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "1s")]
    heartbeat: Duration,

    /// After how many silent heartbeats a worker is lost
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    #[arg(default_value = "4")]
    liveness: u32,

    /// How many requests of a service may wait
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    #[arg(default_value = "10000")]
    queue_messages: u32,

    /// How many octets of requests of a service may wait
    #[arg(long, value_name = "SIZE", default_value = "64MiB")]
    queue_bytes: ByteSize,

    /// How long a stop waits for answers
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "10s")]
    drain: Duration,
}

/// Runs a broker until a signal ends it.
pub(crate) fn run(arguments: Arguments) -> Result<ExitCode, String> {
    runtime("broker")?.block_on(serve(arguments))
}

async fn serve(arguments: Arguments) -> Result<ExitCode, String> {
    // Before the endpoints are printed: whoever reads them may stop us at once.
    let mut signals = Signals::new().map_err(|error| format!("broker: no signals: {error}"))?;
    let broker = builder(arguments)
        .spawn()
        .await
        .map_err(|error| format!("broker: {error}"))?;
    announce(&broker.front(), &broker.back());
    let signal = signals.next().await;
    tracing::info!(signal, "stopping: requests that are here are answered");
    tokio::select! {
        () = broker.close() => Ok(ExitCode::SUCCESS),
        signal = signals.next() => {
            tracing::warn!(signal, "stopped before all was answered");
            Ok(ExitCode::FAILURE)
        }
    }
}

fn builder(arguments: Arguments) -> BrokerBuilder {
    let responses = arguments
        .front_responses
        .or_else(|| beside(&arguments.front));
    let octets = usize::try_from(arguments.queue_bytes.as_u64()).unwrap_or(usize::MAX);
    let mut builder = Broker::builder().front(arguments.front);
    if let Some(responses) = responses {
        builder = builder.front_responses(responses);
    }
    let builder = builder
        .back(arguments.back)
        .heartbeat(arguments.heartbeat)
        .liveness(arguments.liveness)
        .queue_messages(arguments.queue_messages as usize)
        .queue_bytes(octets)
        .drain_timeout(arguments.drain);
    if arguments.insecure {
        builder.allow_plaintext()
    } else {
        builder
    }
}

/// The port after that of the requests; `None` leaves the choice to the library.
fn beside(requests: &Endpoint) -> Option<Endpoint> {
    match requests {
        Endpoint::Tcp { host, port } if *port != 0 => Some(Endpoint::Tcp {
            host: host.clone(),
            port: port.checked_add(1)?,
        }),
        _ => None,
    }
}

/// Tells scripts where everybody connects. Nobody may be reading.
fn announce(front: &Instance, back: &Endpoint) {
    let mut out = std::io::stdout().lock();
    let lines = format!(
        "requests {}\nresponses {}\nworkers {back}\n",
        front.requests, front.responses
    );
    let _ = out.write_all(lines.as_bytes()).and_then(|()| out.flush());
}

fn time(text: &str) -> Result<Duration, String> {
    let time = duration(text)?;
    let sound = (Duration::from_millis(1)..=Duration::from_secs(3600)).contains(&time);
    sound
        .then_some(time)
        .ok_or_else(|| "a heartbeat is 1ms to 1h".to_owned())
}

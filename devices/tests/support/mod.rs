//! The program as a process, which does not outlive its test.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStderr, Command, ExitStatus, Output, Stdio};

/// A device's process.
pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let child = program(arguments).spawn().expect("the program starts");
        Self(child)
    }

    /// What the first lines say behind these words.
    pub(crate) fn endpoints<const N: usize>(&mut self, names: [&str; N]) -> [String; N] {
        let mut lines = BufReader::new(self.0.stdout.as_mut().expect("piped")).lines();
        names.map(|name| {
            let line = lines.next().expect("a line each").expect("text");
            line.strip_prefix(name).expect(name).to_owned()
        })
    }

    /// What it logs. Can be taken once.
    pub(crate) fn stderr(&mut self) -> ChildStderr {
        self.0.stderr.take().expect("piped")
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.0.id().to_string();
        let status = Command::new("kill").args([name, &pid]).status();
        assert!(status.expect("kill is there").success());
    }

    pub(crate) fn wait(mut self) -> ExitStatus {
        self.0.wait().expect("it is our child")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn run(arguments: &[&str]) -> Output {
    program(arguments).output().expect("the program starts")
}

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pushsub"));
    command
        .args(arguments)
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

//! Parses the command line, runs one command, and leaves with its exit code.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use posthaste::cli::{self, Cli};

/// How long threads that still block (a read from a terminal) are waited for at the end.
///
/// Two seconds: a store's last write takes less, and a terminal may never answer.
const LAST_WAIT: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("the operating system gives threads");
    let code = runtime.block_on(cli::run(cli));
    runtime.shutdown_timeout(LAST_WAIT);
    code
}

//! `posthaste backup`: a copy of the database, while a router runs or not.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::output::{Output, note};
use crate::config::Config;
use crate::runtime::assemble;

/// What comes behind the flags in the help.
pub(super) const HELP: &str = "\
What is in it:
  Everything in the SQLite file as it was when the command began: applications, endpoints, events,
  deliveries, dead letters. A router may run, and does not wait; its log grows by what it writes
  meanwhile. The file is readable by its owner alone.

What is not in it:
  The keys. Keep secret.key and token.key of the data folder, or what encryption.keys and
  api.token_key name, in another place: without them the backup's signing secrets cannot be opened,
  and with them beside it they are no secrets.

To restore:
  1. Stop the router.
  2. Move what is in the data folder away: posthaste.db, and posthaste.db-wal and posthaste.db-shm
     if they are there. A log that is not the file's own would damage it.
  3. Copy the backup to posthaste.db in the data folder, and the keys beside it.
  4. Start the router. What was not finished when the backup was made is delivered; what was
     delivered after it is delivered again, with the same webhook-id.";

#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub(super) struct BackupArgs {
    /// The file to write; its folder has to be there
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// Replace the file when it is there
    #[arg(long)]
    force: bool,
}

pub(super) async fn run(args: BackupArgs, config: &Config, output: Output) -> anyhow::Result<()> {
    let bytes = assemble::backup(config, args.to.clone(), args.force).await?;
    let path = args.to.display().to_string();
    output.one(
        &json!({ "path": path, "bytes": bytes }),
        &[("backup", path.clone()), ("bytes", bytes.to_string())],
    )?;
    note(&format!("keys are not in it: keep {} apart from it", keys(config).join(" and ")));
    Ok(())
}

/// Where the keys are that a restored router needs.
fn keys(config: &Config) -> [String; 2] {
    let sealing = if config.encryption.keys.is_empty() {
        config.key_file().display().to_string()
    } else {
        "what encryption.keys names".to_owned()
    };
    let tokens = if config.api.token_key.is_none() {
        config.token_key_file().display().to_string()
    } else {
        "what api.token_key names".to_owned()
    };
    [sealing, tokens]
}

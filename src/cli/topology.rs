//! `posthaste topology`: the exchanges and queues, shown or declared.

use clap::Args;
use serde_json::Value;

use super::output::{Output, note};
use crate::config::Config;
use crate::runtime::assemble;

#[derive(Debug, Args)]
pub(super) struct TopologyArgs {
    /// Declare everything on the broker; what is there already stays
    #[arg(long)]
    apply: bool,
    /// Show what would be declared, without asking the broker (the default)
    #[arg(long, conflicts_with = "apply")]
    print: bool,
}

pub(super) async fn run(
    args: &TopologyArgs,
    config: &Config,
    output: Output,
) -> anyhow::Result<()> {
    if args.apply {
        assemble::apply_topology(config).await?;
        note("declared");
        return Ok(());
    }
    let topology = assemble::topology(config)?;
    let parts = topology.as_array().map(Vec::as_slice).unwrap_or_default();
    output.list(&["kind", "name", "details"], parts, |part| {
        vec![text(&part["kind"]), text(&part["name"]), details(part)]
    })?;
    Ok(())
}

/// Everything but kind and name, the arguments flattened: `type=topic durable=true`.
fn details(part: &Value) -> String {
    let Some(fields) = part.as_object() else { return String::new() };
    let mut said = Vec::new();
    for (name, value) in fields.iter().filter(|(name, _)| *name != "kind" && *name != "name") {
        match value {
            Value::Object(inner) => {
                said.extend(inner.iter().map(|(name, value)| format!("{name}={}", text(value))));
            }
            Value::Null => {}
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                said.push(format!("{name}={}", text(value)));
            }
        }
    }
    said.join(" ")
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), Into::into)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_said_of_a_part_besides_its_kind_and_name() {
        let queue = json!({
            "kind": "queue", "name": "posthaste.v1.inbox", "durable": true, "note": null,
            "arguments": { "x-queue-type": "quorum", "x-delivery-limit": 100 },
        });
        let said = details(&queue);
        for part in ["durable=true", "x-queue-type=quorum", "x-delivery-limit=100"] {
            assert!(said.contains(part), "{said}");
        }
        assert!(!said.contains("note") && !said.contains("kind"), "{said}");
    }
}

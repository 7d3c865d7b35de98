//! What is kept beside the deployment, held to the program: the list of metrics that rules and dashboards go by.
//!
//! Left to `make check-deploy`, which wants tools of others: the rules' own tests, and what is said to Docker,
//! Kubernetes and systemd.

use std::path::Path;
use std::process::Command;

/// What a command of the program prints.
fn printed(arguments: &[&str]) -> String {
    let ran = Command::new(env!("CARGO_BIN_EXE_posthaste")).args(arguments).output();
    let ran = ran.expect("the program runs");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).expect("text")
}

#[test]
fn the_list_of_metrics_beside_the_rules_is_the_programs() {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus/metrics.jsonl");
    let kept = std::fs::read_to_string(kept).expect("readable");
    // The version is a label's value, and not what is compared.
    let without_version = |list: &str| {
        let lines = list.lines().filter(|line| !line.contains("posthaste_build_info"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };

    let now = printed(&["metrics", "--list", "--json"]);

    assert_eq!(
        without_version(&kept),
        without_version(&now),
        "to write it anew: posthaste metrics --list --json > deploy/prometheus/metrics.jsonl"
    );
}

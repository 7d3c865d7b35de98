//! Five job platforms, each as its documentation has it: its example's own producer and receivers, a real
//! RabbitMQ, the real binary, and the preset applied over HTTP.
//!
//! The receivers in `examples/` were written from a platform's documentation alone. What they are sent, how
//! often, when, and what becomes of it in the end is compared with what that documentation promises;
//! `docs/platforms.md` has the table of promises and names these tests.

mod axelered;
mod cortex;
mod portal;
mod stage;
#[path = "../support/mod.rs"]
mod support;
mod xlsxapi;
mod xora;

/// Every test of these files, and every one that the page names.
#[test]
fn the_page_about_platforms_names_every_test_and_no_other() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| std::fs::read_to_string(root.join(path)).expect("readable");
    let page = read("docs/platforms.md");
    let mut named: Vec<&str> = page
        .split('`')
        .filter_map(|word| word.strip_prefix("platforms/"))
        .filter(|word| word.contains("::"))
        .collect();
    named.sort_unstable();
    named.dedup();
    let mut there = Vec::new();
    for platform in ["axelered", "cortex", "portal", "xlsxapi", "xora"] {
        let text = read(&format!("tests/platforms/{platform}.rs"));
        for test in text.split("#[tokio::test(flavor = \"multi_thread\")]\nasync fn ").skip(1) {
            let name = test.split('(').next().expect("a name");
            there.push(format!("{platform}::{name}"));
        }
    }
    there.sort_unstable();
    assert_eq!(named, there);
}

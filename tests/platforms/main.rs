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

fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).ok()
}

/// What stands between backticks in the page and has the form of a test.
fn named() -> Vec<String> {
    let page = read("docs/platforms.md").expect("readable");
    let words = page.split('`').filter(|word| word.contains("::") && !word.contains(' '));
    let mut named: Vec<String> = words.map(str::to_owned).collect();
    named.sort_unstable();
    named.dedup();
    named
}

#[test]
fn the_page_about_platforms_names_every_test_of_these_files() {
    let mut there = Vec::new();
    for platform in ["axelered", "cortex", "portal", "xlsxapi", "xora"] {
        let text = read(&format!("tests/platforms/{platform}.rs")).expect("readable");
        for test in text.split("#[tokio::test(flavor = \"multi_thread\")]\nasync fn ").skip(1) {
            let name = test.split('(').next().expect("a name");
            there.push(format!("platforms/{platform}::{name}"));
        }
    }
    there.sort_unstable();
    let named: Vec<_> = named().into_iter().filter(|name| name.starts_with("platforms/")).collect();
    assert_eq!(named, there);
}

#[test]
fn the_page_about_platforms_names_no_test_that_is_not_there() {
    for name in named() {
        let (file, sentence) = name.split_once("::").expect("a file and a test");
        let files = [format!("tests/{file}.rs"), format!("tests/{file}/main.rs")];
        let text = files.iter().find_map(|path| read(path));
        let text = text.unwrap_or_else(|| panic!("{name}: there is no such file"));
        assert!(text.contains(&format!("fn {sentence}(")), "{name}: there is no such test");
    }
}

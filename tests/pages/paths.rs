//! Every page and form there is, as the console's source names them: a route stands there as a literal, as a constant, or
//! as a format of one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A path of the console's, with `{names}` in it, and what it is asked by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Route {
    /// The path.
    pub(crate) path: String,
    /// Whether it is looked at.
    pub(crate) get: bool,
    /// Whether a form is sent to it.
    pub(crate) post: bool,
}

impl Route {
    /// Whether it is a tenant's.
    pub(crate) fn is_portals(&self) -> bool {
        self.path.starts_with("/portal")
    }

    /// Whether one comes in or leaves by it: what is behind it is for nobody who is in.
    pub(crate) fn is_a_door(&self) -> bool {
        ["/portal/enter", "/portal/leave", "/console/login", "/console/logout"]
            .contains(&self.path.as_str())
    }

    /// The names in its path.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
    }

    /// Its path with these in it.
    ///
    /// # Panics
    /// When a name is not among them: whoever adds one tells here what it is.
    pub(crate) fn with(&self, names: &BTreeMap<&'static str, String>) -> String {
        let mut path = self.path.clone();
        for name in self.names() {
            let value = names.get(name);
            let value = value.unwrap_or_else(|| panic!("what is {{{name}}} of {}?", self.path));
            path = path.replace(&format!("{{{name}}}"), value);
        }
        path
    }
}

/// All of them but assets and what stands for paths that are not there.
pub(crate) fn routes() -> Vec<Route> {
    let mut texts = Vec::new();
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/console"), &mut texts);
    let mut found: BTreeSet<Route> = BTreeSet::new();
    for text in &texts {
        for (place, _) in text.match_indices(".route(") {
            let route = inside(&text[place + ".route(".len()..]);
            let (named, answers) = route.split_once(',').expect("a path and what answers");
            let path = written_out(named.trim(), &text[..place]);
            if path.starts_with("/assets/") || path.ends_with('/') || path.contains("{*") {
                continue;
            }
            let is_word = |before: char| before.is_alphanumeric() || before == '_';
            let by = |method: &str| {
                let mut found = answers.match_indices(method);
                found.any(|(place, _)| !answers[..place].ends_with(is_word))
            };
            let (get, post) = (by("get("), by("post("));
            assert!(get || post, "{path} is asked by get or post: {answers}");
            let new = found.insert(Route { path, get, post });
            assert!(new, "{named} stands there twice");
        }
    }
    assert!(!texts.iter().any(|text| text.contains(".nest(")), "paths are written out whole");
    assert!(found.len() >= 6, "the routes were not found: {found:?}");
    found.into_iter().collect()
}

fn read(folder: &Path, texts: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).expect("the source is there") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            read(&path, texts);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            texts.push(std::fs::read_to_string(&path).expect("text"));
        }
    }
}

/// The path that a route names: `"…"`, `NAME`, `&format!("…{NAME}…")`, or `&name("…")` of a closure that is such a format.
/// What has a name is the last thing of that name above it.
///
/// # Panics
/// When a path is named in another way: a route that is not read is a page that is not tried.
fn written_out(named: &str, above: &str) -> String {
    fn nothing<T>(named: &str) -> T {
        panic!("what is the path of .route({named}? Write it as the others are")
    }
    let literal = |text: &str| text.split('"').nth(1).map(str::to_owned);
    let below = |what: &str| above.rsplit_once(what).map(|(_, below)| below);
    let constant = |name: &str| {
        let value = below(&format!("const {name}: &str = ")).and_then(literal);
        value.unwrap_or_else(|| nothing(named))
    };
    // Braces that are doubled stand for themselves, and so do those of what is filled in.
    let filled = |format: &str, hole: &str, filling: &str| {
        let mut path = format.replace("{{", "\u{1}").replace("}}", "\u{2}");
        while let Some((before, rest)) = path.split_once('{') {
            let (name, behind) = rest.split_once('}').expect("it is closed");
            let value = if name == hole { filling.to_owned() } else { constant(name) };
            let value = value.replace('{', "\u{1}").replace('}', "\u{2}");
            path = format!("{before}{value}{behind}");
        }
        path.replace('\u{1}', "{").replace('\u{2}', "}")
    };
    if named.starts_with('"') {
        literal(named).unwrap_or_else(|| nothing(named))
    } else if let Some(format) = named.strip_prefix("&format!(") {
        filled(&literal(format).unwrap_or_else(|| nothing(named)), "", "")
    } else if let Some((closure, rest)) = named.strip_prefix('&').and_then(|it| it.split_once('('))
    {
        let made = below(&format!("let {closure} = |")).unwrap_or_else(|| nothing(named));
        let (argument, body) = made.split_once(':').unwrap_or_else(|| nothing(named));
        filled(
            &literal(body).unwrap_or_else(|| nothing(named)),
            argument,
            &literal(rest).unwrap_or_else(|| nothing(named)),
        )
    } else {
        constant(named)
    }
}

/// What stands before the parenthesis that closes.
fn inside(text: &str) -> &str {
    let mut open = 1;
    let end = text.char_indices().find(|(_, character)| {
        match character {
            '(' => open += 1,
            ')' => open -= 1,
            _ => {}
        }
        open == 0
    });
    &text[..end.expect("it is closed").0]
}

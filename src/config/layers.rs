//! The four layers, one on top of the other, each value remembering where it came from.
//!
//! Every default, variable and flag is a layer of its own with its name as the figment's metadata,
//! so that "where does this value come from?" has an exact answer.

use std::path::Path;

use figment::providers::{Format, Toml};
use figment::util::nest;
use figment::value::{Dict, Map, Value};
use figment::{Error, Figment, Metadata, Profile, Provider};

use super::settings::{PREFIX, SETTINGS, setting};
use super::{KeyPlace, KeySource, Mistake, Sources};

/// Variables of ours that are no settings, which `cli` reads: the path of the file, and which router its
/// commands talk to.
const NOT_SETTINGS: [&str; 3] = ["POSTHASTE_CONFIG", "POSTHASTE_SERVER", "POSTHASTE_TOKEN"];

/// Puts the layers on each other; unknown settings and an unreadable file are mistakes.
pub(super) fn stack(sources: &Sources, mistakes: &mut Vec<Mistake>) -> Figment {
    let mut layers = Figment::new();
    for setting in SETTINGS {
        layers = layers.merge(Pair::new("default".into(), setting.key, setting.default));
    }
    if let Some(path) = &sources.file {
        match File::read(path) {
            Ok(file) => layers = layers.merge(file),
            Err(what) => mistakes.push(Mistake {
                key: path.display().to_string(),
                origin: "file".into(),
                what,
            }),
        }
    }
    for (name, value) in &sources.environment {
        let Some(rest) = name.strip_prefix(PREFIX) else { continue };
        if !NOT_SETTINGS.contains(&name.as_str()) && !is_service_link(rest) {
            let key = rest.to_lowercase().replace("__", ".");
            layers = layers.merge(Pair::new(format!("environment:{name}"), &key, value));
        }
    }
    for flag in &sources.flags {
        layers = layers.merge(Pair::new(format!("flag:{}", flag.flag), &flag.key, &flag.value));
    }
    report_unknown(&layers, mistakes);
    layers
}

/// The text of a scalar; `None` for lists and tables.
pub(super) fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(_, text) => Some(text.clone()),
        Value::Char(_, one) => Some(one.to_string()),
        Value::Bool(_, flag) => Some(flag.to_string()),
        Value::Num(_, number) => number
            .to_i128()
            .map(|whole| whole.to_string())
            .or_else(|| number.to_f64().map(|fraction| fraction.to_string())),
        Value::Empty(..) | Value::Dict(..) | Value::Array(..) => None,
    }
}

/// The texts of a list: an array of scalars, or one text with commas.
pub(super) fn list(value: &Value) -> Option<Vec<String>> {
    if let Value::Array(_, items) = value {
        return items.iter().map(scalar).collect();
    }
    let text = scalar(value)?;
    Some(text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(Into::into).collect())
}

/// Where a value came from.
pub(super) fn origin(layers: &Figment, value: &Value) -> String {
    layers.get_metadata(value.tag()).map_or_else(|| "default".into(), |from| from.name.to_string())
}

/// Kubernetes puts `POSTHASTE_PORT=tcp://…` and its kin into every pod beside a service of our
/// name. They are not meant for us, and must not keep us from starting.
fn is_service_link(rest: &str) -> bool {
    rest == "PORT"
        || rest == "SERVICE_HOST"
        || rest == "SERVICE_PORT"
        || rest.starts_with("PORT_")
        || rest.starts_with("SERVICE_PORT_")
}

fn report_unknown(layers: &Figment, mistakes: &mut Vec<Mistake>) {
    // A variable that holds a key may be called POSTHASTE_ANYTHING: it is known by that.
    let texts = |key| layers.find_value(key).ok().and_then(|keys| list(&keys)).unwrap_or_default();
    let sealing = texts("encryption.keys").into_iter().filter_map(|text| {
        let key: KeySource = text.parse().ok()?;
        Some(key.place)
    });
    let signing = texts("api.token_key").into_iter().filter_map(|text| text.parse().ok());
    let key_variables: Vec<String> = sealing
        .chain(signing)
        .filter_map(|place| match place {
            KeyPlace::Environment(name) => Some(format!("environment:{name}")),
            KeyPlace::File(_) => None,
        })
        .collect();

    let all = layers.data().unwrap_or_default();
    for dict in all.values() {
        visit("", dict, &mut |key, value| {
            let origin = origin(layers, value);
            if setting(key).is_none() && !key_variables.contains(&origin) {
                mistakes.push(Mistake { key: key.into(), origin, what: unknown(key) });
            }
        });
    }
}

/// Calls `each` for every leaf. A known setting is a leaf whatever it holds.
fn visit(path: &str, dict: &Dict, each: &mut impl FnMut(&str, &Value)) {
    for (name, value) in dict {
        let key = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match value {
            Value::Dict(_, inner) if setting(&key).is_none() => visit(&key, inner, each),
            Value::Dict(..)
            | Value::String(..)
            | Value::Char(..)
            | Value::Bool(..)
            | Value::Num(..)
            | Value::Empty(..)
            | Value::Array(..) => each(&key, value),
        }
    }
}

fn unknown(key: &str) -> String {
    let section = key.split('.').next().unwrap_or(key);
    let neighbours: Vec<&str> = SETTINGS
        .iter()
        .map(|setting| setting.key)
        .filter(|known| known.strip_prefix(section).is_some_and(|rest| rest.starts_with('.')))
        .collect();
    if neighbours.is_empty() {
        "there is no such setting; `posthaste config settings` lists all".into()
    } else {
        format!("there is no such setting; this section has {}", neighbours.join(", "))
    }
}

/// One value of one setting.
struct Pair {
    origin: String,
    dict: Dict,
}

impl Pair {
    fn new(origin: String, key: &str, value: &str) -> Self {
        let dict = nest(key, Value::from(value)).into_dict().unwrap_or_default();
        Self { origin, dict }
    }
}

impl Provider for Pair {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.origin.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        Ok(Profile::Default.collect(self.dict.clone()))
    }
}

/// The file, read.
struct File {
    origin: String,
    data: Map<Profile, Dict>,
}

impl File {
    fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|e| format!("cannot be read: {e}"))?;
        let data = Toml::string(&text).data().map_err(|error| format!("is not TOML: {error}"))?;
        Ok(Self { origin: format!("file:{}", path.display()), data })
    }
}

impl Provider for File {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.origin.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        Ok(self.data.clone())
    }
}

//! What holds for configuration as a whole: layering, provenance, and all mistakes at once.

use super::settings::SETTINGS;
use super::*;

fn variables(pairs: &[(&str, &str)]) -> Sources {
    let environment = pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    Sources { environment, ..Sources::default() }
}

fn mistaken_keys(sources: &Sources) -> Vec<String> {
    load(sources).expect_err("mistakes").0.into_iter().map(|mistake| mistake.key).collect()
}

fn file(text: &str) -> (tempfile::TempDir, Sources) {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("posthaste.toml");
    std::fs::write(&path, text).expect("a file");
    (dir, Sources { file: Some(path), ..Sources::default() })
}

#[test]
fn the_defaults_alone_are_a_configuration() {
    let (config, effective) = load(&Sources::default()).expect("no mistakes");

    assert_eq!(config.rabbitmq.prefetch, 1_000);
    assert_eq!(config.shutdown.grace, Duration::from_secs(30));
    assert!(config.encryption.keys.is_empty());
    assert!(!config.egress.allow_http);
    let shown: Vec<_> = effective.iter().map(|row| row.key).collect();
    let listed: Vec<_> = SETTINGS.iter().map(|row| row.key).collect();
    assert_eq!(shown, listed, "each setting is read once, in the order of the list");
}

#[test]
fn flags_beat_the_environment_which_beats_the_file_which_beats_the_defaults() {
    let (_dir, mut sources) = file(
        "data_dir = '/file'\n[rabbitmq]\nprefetch = 1\nprefix = 'file'\nurls = ['amqp://a', 'amqp://b']\n",
    );
    sources.environment = vec![
        ("POSTHASTE_RABBITMQ__PREFIX".into(), "variable".into()),
        ("POSTHASTE_DATA_DIR".into(), "/variable".into()),
    ];
    sources.flags =
        vec![FlagValue { flag: "--data-dir", key: "data_dir".into(), value: "/flag".into() }];

    let (config, effective) = load(&sources).expect("no mistakes");

    assert_eq!(config.data_dir, PathBuf::from("/flag"));
    assert_eq!(config.rabbitmq.prefix, "variable");
    assert_eq!(config.rabbitmq.prefetch, 1);
    assert_eq!(config.rabbitmq.urls.len(), 2);
    let origin = |key| {
        let row = effective.iter().find(|row| row.key == key).expect("a row");
        row.origin.clone()
    };
    let path = sources.file.expect("a file");
    assert_eq!(origin("data_dir"), "flag:--data-dir");
    assert_eq!(origin("rabbitmq.prefix"), "environment:POSTHASTE_RABBITMQ__PREFIX");
    assert_eq!(origin("rabbitmq.prefetch"), format!("file:{}", path.display()));
    assert_eq!(origin("rabbitmq.results"), "default");
}

#[test]
fn all_mistakes_are_reported_at_once_each_with_its_place() {
    let (_dir, mut sources) = file(
        "[rabbitmq]\nprefech = 10\nprefetch = 5000\n[egress]\nallow_cidrs = ['10.0.0.0/99']\n",
    );
    sources.environment = vec![
        ("POSTHASTE_ADMIN__LISTEN".into(), "nowhere".into()),
        ("POSTHASTE_LOG__FORMAT".into(), "xml".into()),
        ("POSTHASTE_NONSENSE".into(), "1".into()),
    ];

    let mistakes = load(&sources).expect_err("mistakes");

    let mut keys: Vec<_> = mistakes.0.iter().map(|mistake| mistake.key.as_str()).collect();
    keys.sort_unstable();
    assert_eq!(
        keys,
        [
            "admin.listen",
            "egress.allow_cidrs",
            "log.format",
            "nonsense",
            "rabbitmq.prefech",
            "rabbitmq.prefetch"
        ]
    );
    let text = mistakes.to_string();
    assert!(text.starts_with("the configuration has 6 mistakes\n"), "{text}");
    assert!(text.contains("rabbitmq.prefetch (file:"), "{text}");
    assert!(text.contains("5000 is out of range; accepted: 1 to 2000"), "{text}");
    assert!(text.contains("admin.listen (environment:POSTHASTE_ADMIN__LISTEN)"), "{text}");
    assert!(text.contains("this section has rabbitmq.urls, rabbitmq.prefix"), "{text}");
}

#[test]
fn a_file_that_is_missing_or_not_toml_is_a_mistake_beside_the_others() {
    let (_dir, mut sources) = file("rabbitmq = [");
    sources.environment = vec![("POSTHASTE_DEV".into(), "perhaps".into())];
    assert_eq!(mistaken_keys(&sources).len(), 2);

    sources.file = Some("/nowhere/posthaste.toml".into());
    assert_eq!(mistaken_keys(&sources), ["/nowhere/posthaste.toml", "dev"]);
}

#[test]
fn a_section_is_not_a_value_nor_a_value_a_section() {
    let (_dir, sources) = file("rabbitmq = 1\n[log.filter]\nlevel = 'info'\n");
    assert_eq!(mistaken_keys(&sources), ["rabbitmq", "log.filter"]);
}

#[test]
fn a_password_is_never_shown() {
    let sources =
        variables(&[("POSTHASTE_RABBITMQ__URLS", "amqps://router:hunter2@mq.example/%2f")]);

    let (config, effective) = load(&sources).expect("no mistakes");

    let shown = format!("{config:?} {effective:?}");
    assert!(shown.contains("amqps://router:***@mq.example/%2f"), "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");
    assert_eq!(config.rabbitmq.urls[0].expose(), "amqps://router:hunter2@mq.example/%2f");

    for wrong in ["http://router:hunter2@mq.example", "router:hunter2@mq.example", "amqp://"] {
        let mistakes = load(&variables(&[("POSTHASTE_RABBITMQ__URLS", wrong)]));
        assert!(!mistakes.expect_err("mistakes").to_string().contains("hunter2"), "{wrong}");
    }
}

#[test]
fn a_database_is_one_that_routers_share_beside_a_broker_and_is_shown_without_its_password() {
    let url = "postgres://router:hunter2@db.example:5433/hooks?sslmode=require";
    let mut sources = variables(&[
        ("POSTHASTE_STORAGE__POSTGRES", url),
        ("POSTHASTE_RABBITMQ__URLS", "amqp://mq.example"),
    ]);
    let (config, effective) = load(&sources).expect("no mistakes");
    assert_eq!(config.storage.postgres.as_ref().map(DatabaseUrl::expose), Some(url));
    let shown = format!("{config:?} {effective:?}");
    assert!(
        shown.contains("postgres://router:***@db.example:5433/hooks?sslmode=require"),
        "{shown}"
    );
    assert!(!shown.contains("hunter2"), "{shown}");
    let named =
        "postgres://db.example/hooks?password=hunter2".parse::<DatabaseUrl>().expect("a URL");
    assert!(!named.to_string().contains("hunter2"), "{named}");

    for wrong in
        ["mysql://a:hunter2@b/c", "a:hunter2@b/c", "postgres://a:hunter2@b", "postgres:///hunter2"]
    {
        sources.environment[0].1 = wrong.to_owned();
        let mistakes = load(&sources).expect_err(wrong);
        assert!(!mistakes.to_string().contains("hunter2"), "{mistakes}");
    }

    let alone = load(&variables(&[("POSTHASTE_STORAGE__POSTGRES", url)])).expect_err("no broker");
    let said = alone.to_string();
    assert!(said.contains("storage.postgres") && said.contains("rabbitmq.urls"), "{said}");
}

#[test]
fn keys_are_named_by_file_or_variable_and_their_variables_are_not_unknown_settings() {
    let mut sources = variables(&[
        ("POSTHASTE_ENCRYPTION__KEYS", "2:env:POSTHASTE_KEY_2, 1:file:/etc/posthaste/k1"),
        ("POSTHASTE_KEY_2", "c2VjcmV0"),
    ]);

    let (config, _) = load(&sources).expect("no mistakes");

    assert_eq!(config.encryption.keys[0].place, KeyPlace::Environment("POSTHASTE_KEY_2".into()));
    assert_eq!(config.encryption.keys[1].to_string(), "1:file:/etc/posthaste/k1");

    for wrong in ["1", "1:file:", "1:vault:x", "k:env:X", "1:env:X,1:env:Y"] {
        sources.environment = vec![("POSTHASTE_ENCRYPTION__KEYS".into(), wrong.into())];
        assert_eq!(mistaken_keys(&sources), ["encryption.keys"], "{wrong}");
    }
}

#[test]
fn the_key_of_tokens_is_one_and_may_be_in_any_variable() {
    let mut sources = variables(&[
        ("POSTHASTE_API__TOKEN_KEY", "env:POSTHASTE_TOKENS"),
        ("POSTHASTE_TOKENS", "c2VjcmV0"),
    ]);
    let (config, _) = load(&sources).expect("no mistakes");
    assert_eq!(config.api.token_key, Some(KeyPlace::Environment("POSTHASTE_TOKENS".into())));

    for wrong in ["env:", "c2VjcmV0", "env:A,env:B"] {
        sources.environment = vec![("POSTHASTE_API__TOKEN_KEY".into(), wrong.into())];
        assert_eq!(mistaken_keys(&sources), ["api.token_key"], "{wrong}");
    }
}

#[test]
fn links_begin_with_the_url_of_a_server() {
    let set = |text: &str| variables(&[("POSTHASTE_API__PUBLIC_URL", text)]);
    let (config, _) = load(&set("https://hooks.example.com/ph")).expect("no mistakes");
    let url = config.api.public_url.expect("it is set");
    assert_eq!(url.as_str(), "https://hooks.example.com/ph");
    assert_eq!(load(&set("")).expect("no mistakes").0.api.public_url, None);

    for wrong in
        ["hooks.example.com", "ftp://a.example", "http://a.example?x", "http://u@a.example"]
    {
        assert_eq!(mistaken_keys(&set(wrong)), ["api.public_url"], "{wrong}");
    }
}

#[test]
fn dev_opens_loopback_and_http_and_says_so() {
    let (config, effective) = load(&variables(&[("POSTHASTE_DEV", "true")])).expect("no mistakes");

    assert!(config.egress.allow_http);
    assert_eq!(config.egress.allow_cidrs.len(), 2);
    let row = effective.iter().find(|row| row.key == "egress.allow_cidrs").expect("a row");
    assert_eq!((row.value.as_str(), row.origin.as_str()), ("127.0.0.0/8,::1/128", "dev"));
}

#[test]
fn what_kubernetes_puts_into_the_environment_is_not_meant_for_us() {
    let sources = variables(&[
        ("POSTHASTE_PORT", "tcp://10.0.0.1:80"),
        ("POSTHASTE_PORT_80_TCP_ADDR", "10.0.0.1"),
        ("POSTHASTE_SERVICE_HOST", "10.0.0.1"),
        ("POSTHASTE_SERVICE_PORT_HTTP", "80"),
        ("POSTHASTE_CONFIG", "posthaste.toml"),
        ("PATH", "/bin"),
    ]);
    assert!(load(&sources).is_ok());
}

#[test]
fn what_is_not_safe_outside_a_developers_machine_is_said_with_its_reason() {
    let variables = variables(&[
        ("POSTHASTE_DEV", "true"),
        ("POSTHASTE_DELIVERY__ALLOW_UNSIGNED", "true"),
        ("POSTHASTE_ADMIN__LISTEN", "0.0.0.0:9464"),
        ("POSTHASTE_API__LISTEN", "0.0.0.0:8071"),
    ]);
    let (_, effective) = load(&variables).expect("no mistakes");
    let dangers: Vec<_> =
        effective.iter().filter(|row| row.danger().is_some()).map(|row| row.key).collect();
    assert_eq!(
        dangers,
        [
            "dev",
            "egress.allow_http",
            "egress.allow_cidrs",
            "delivery.allow_unsigned",
            "admin.listen"
        ]
    );
    let (_, effective) = load(&Sources::default()).expect("no mistakes");
    assert!(effective.iter().all(|row| row.danger().is_none()), "as it is by default");
}

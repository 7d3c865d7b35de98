//! Signatures against the published vectors, and against what a receiver may be sent.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::*;

fn published() -> Value {
    serde_json::from_str(include_str!("../../../tests/data/signing-vectors.json")).expect("JSON")
}

/// A request as one of the published vectors describes it, under one of the schemes.
#[derive(Clone)]
struct Vector {
    name: String,
    key: SigningKey,
    /// What the receiver was told.
    told: String,
    id: String,
    timestamp_s: i64,
    body: Vec<u8>,
    signature: String,
}

impl Vector {
    fn read(vector: &Value, scheme: Scheme) -> Self {
        let (part, secret, told) = match scheme {
            Scheme::V1 => ("symmetric", "secret", "secret"),
            Scheme::V1a => ("asymmetric", "secret_key", "public_key"),
        };
        let part = &vector[part];
        Self {
            name: text(&vector["name"]),
            key: text(&part[secret]).parse().expect("a key"),
            told: text(&part[told]),
            id: text(&vector["webhook_id"]),
            timestamp_s: vector["webhook_timestamp"].as_i64().expect("a number"),
            body: bytes(&vector["payload_base64"]),
            signature: text(&part["signature"]),
        }
    }

    fn verified_at(&self, now_s: i64) -> Result<(), Unverified> {
        let timestamp = self.timestamp_s.to_string();
        let key = self.told.parse().expect("a receiver's key");
        verify([&key], &self.id, &timestamp, &self.signature, &self.body, now_s)
    }
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

fn bytes(value: &Value) -> Vec<u8> {
    STANDARD.decode(value.as_str().expect("a text")).expect("base64")
}

fn vectors(scheme: Scheme) -> Vec<Vector> {
    let published = published();
    let vectors = published["vectors"].as_array().expect("a list");
    vectors.iter().map(|vector| Vector::read(vector, scheme)).collect()
}

fn key(fill: u8) -> SigningKey {
    SigningKey::generated([fill; 32])
}

fn pair(fill: u8) -> SigningKey {
    SigningKey::generated_for(Scheme::V1a, [fill; 32])
}

#[test]
fn every_published_vector_is_signed_as_published_and_verifies() {
    for scheme in [Scheme::V1, Scheme::V1a] {
        let vectors = vectors(scheme);
        assert_eq!(vectors.len(), 5);

        for vector in vectors {
            let signature = sign([&vector.key], &vector.id, vector.timestamp_s, &vector.body);

            assert_eq!(signature, vector.signature, "{}", vector.name);
            assert_eq!(vector.verified_at(vector.timestamp_s), Ok(()), "{}", vector.name);
            assert_eq!(vector.key.reveal(), vector.told, "{}", vector.name);
            assert_eq!(vector.key.scheme(), scheme);
        }
    }
}

#[test]
fn during_rotation_each_key_has_a_token_and_each_receiver_finds_its_own() {
    let rotation = &published()["rotation"];
    let [current, previous] = ["current_secret", "previous_secret"]
        .map(|name| text(&rotation[name]).parse::<SigningKey>().expect("a key"));
    let other_scheme = vectors(Scheme::V1a).remove(0).key;
    let (id, body) = (text(&rotation["webhook_id"]), bytes(&rotation["payload_base64"]));
    let timestamp_s = rotation["webhook_timestamp"].as_i64().expect("a number");
    let published = text(&rotation["webhook_signature"]);

    let ours = sign([&current, &previous, &other_scheme], &id, timestamp_s, &body);

    assert_eq!(ours, published);
    let timestamp = timestamp_s.to_string();
    let public = text(&rotation["public_key"]).parse().expect("a public key");
    for known in [current.for_receiver(), previous.for_receiver(), public] {
        assert_eq!(verify([&known], &id, &timestamp, &ours, &body, timestamp_s), Ok(()));
    }
}

#[test]
fn every_published_forgery_is_rejected_whatever_the_scheme() {
    let published = published();
    let negatives = published["negative"].as_array().expect("a list");
    assert_eq!(negatives.len(), 9);

    for (negative, scheme) in
        negatives.iter().flat_map(|one| [(one, Scheme::V1), (one, Scheme::V1a)])
    {
        let base = negative["base"].as_str().unwrap_or("official-library-vector");
        let known = vectors(scheme).into_iter().find(|vector| vector.name == base);
        let mut forged = known.expect("a known vector");
        if let Some(id) = negative["webhook_id"].as_str() {
            id.clone_into(&mut forged.id);
        }
        if let Some(timestamp_s) = negative["webhook_timestamp"].as_i64() {
            forged.timestamp_s = timestamp_s;
        }
        if negative["payload_base64"].is_string() {
            forged.body = bytes(&negative["payload_base64"]);
        }
        if let Some(signature) = negative["webhook_signature"].as_str() {
            signature.clone_into(&mut forged.signature);
        }
        let now_s = negative["now"].as_i64().unwrap_or(forged.timestamp_s);

        let name = negative["name"].as_str().expect("a text");
        let expected = match name {
            "dot-splice" => Unverified::Id,
            "stale-timestamp" => Unverified::TooOld { age_s: 301 },
            "future-timestamp" => Unverified::TooNew { ahead_s: 301 },
            _ => Unverified::Signature,
        };
        assert_eq!(forged.verified_at(now_s), Err(expected), "{name}, {scheme}");
    }
}

#[test]
#[should_panic(expected = "no full stop")]
fn an_id_that_could_be_split_elsewhere_is_never_signed() {
    sign([&key(1)], "a.1", 2, b"{}");
}

#[test]
fn a_timestamp_is_accepted_for_five_minutes_either_way() {
    let header = sign([&key(1)], "msg_1", 1_000, b"{}");
    let at = |now_s| verify([&key(1).for_receiver()], "msg_1", "1000", &header, b"{}", now_s);

    assert_eq!((at(1_300), at(700)), (Ok(()), Ok(())));
    assert_eq!(at(1_301), Err(Unverified::TooOld { age_s: 301 }));
    assert_eq!(at(699), Err(Unverified::TooNew { ahead_s: 301 }));
}

#[test]
fn a_timestamp_that_is_not_plain_digits_is_malformed() {
    for timestamp in ["", "+5", "-5", "1e3", "5.0", " 5", "99999999999999999999"] {
        assert_eq!(
            verify([&key(1).for_receiver()], "msg_1", timestamp, "v1,x", b"{}", 5),
            Err(Unverified::Timestamp),
            "{timestamp:?}"
        );
    }
}

#[test]
fn an_untidy_header_is_rejected_or_understood_but_never_a_panic() {
    let good = sign([&key(1), &pair(1)], "msg_1", 5, b"{}");
    let keys = [key(1).for_receiver(), pair(1).for_receiver()];
    let verdict = |header: &str| {
        keys.each_ref().map(|key| verify([key], "msg_1", "5", header, b"{}", 5).is_ok())
    };

    for header in
        ["", " ", "v1", "v1,", ",", "v1,é", "v1a,", "v1a,AAAA", "v1a,é", "v1,AAAA  v1,BBBB"]
    {
        assert_eq!(verdict(header), [false; 2], "{header:?}");
    }
    for header in [format!(" {good}"), format!("v1,  {good} "), format!("x,y,z {good}")] {
        assert_eq!(verdict(&header), [true; 2], "{header:?}");
    }
}

#[test]
fn the_least_and_the_greatest_second_can_be_signed() {
    for timestamp_s in [i64::MIN, 0, i64::MAX] {
        assert_eq!(sign([&key(1)], "msg_1", timestamp_s, b"").len(), key::V1_TOKEN);
    }
}

#[test]
fn a_key_reads_back_as_it_was_revealed_with_its_prefix_or_without() {
    let revealed = key(7).reveal();
    let bare = revealed.strip_prefix("whsec_").expect("the prefix");

    for text in [revealed.as_str(), bare] {
        assert_eq!(text.parse::<SigningKey>().expect("a key").expose(), key(7).expose());
    }
}

#[test]
fn what_is_not_a_key_is_refused_without_repeating_it() {
    let short = STANDARD.encode([1; 23]);
    let long = STANDARD.encode([1; 76]);
    let table = [
        ("hunter2!", NotAKey::Base64),
        ("whsk_PIbcSPubxa5fzJ", NotAKey::Base64),
        ("whsk_AAAA", NotAKey::PrivateLength(3)),
        (&pair(1).reveal(), NotAKey::Public),
        ("", NotAKey::Length(0)),
        (&short, NotAKey::Length(23)),
        (&long, NotAKey::Length(76)),
    ];
    for (text, expected) in table {
        let refused = text.parse::<SigningKey>().expect_err(text);
        assert_eq!(refused, expected, "{text}");
        assert!(text.is_empty() || !refused.to_string().contains(text));
    }
    assert_eq!(SigningKey::from_bytes(vec![1; 24]).map(|key| key.expose().len()), Ok(24));
    assert_eq!(SigningKey::from_bytes(vec![1; 75]).map(|key| key.expose().len()), Ok(75));
}

#[test]
fn a_private_key_is_read_with_its_public_half_or_without_and_only_the_public_one_is_told() {
    let published = published();
    for vector in published["vectors"].as_array().expect("a list") {
        let part = &vector["asymmetric"];
        let whole: SigningKey = text(&part["secret_key"]).parse().expect("a key");
        let seed: SigningKey =
            format!("whsk_{}", text(&part["seed_base64"])).parse().expect("a key");

        assert_eq!(whole.expose(), seed.expose());
        assert_eq!((whole.reveal(), seed.reveal()), (text(&part["public_key"]), whole.reveal()));
        let stored = SigningKey::stored(Scheme::V1a, whole.expose().to_vec()).expect("a key");
        assert_eq!(stored.reveal(), whole.reveal());
    }
}

#[test]
fn a_private_key_with_another_ones_public_half_is_refused() {
    let mut both = pair(1).expose().to_vec();
    both.extend(STANDARD.decode(&pair(2).reveal()["whpk_".len()..]).expect("base64"));
    let text = format!("whsk_{}", STANDARD.encode(&both));

    assert_eq!(text.parse::<SigningKey>().expect_err("refused"), NotAKey::Halves);
}

#[test]
fn a_receiver_reads_what_it_was_told_and_no_private_key() {
    for told in [key(1).reveal(), pair(1).reveal()] {
        assert!(told.parse::<ReceiverKey>().is_ok(), "{told}");
    }
    let no_point = format!("whpk_{}", STANDARD.encode([2; 32]));
    for (text, expected) in [
        ("whsk_AAAA", NotAKey::Private),
        ("whpk_!", NotAKey::Base64),
        ("whpk_AAAA", NotAKey::PublicLength(3)),
        (&no_point, NotAKey::NoPoint),
    ] {
        assert_eq!(text.parse::<ReceiverKey>().expect_err(text), expected, "{text}");
    }
}

#[test]
fn a_token_of_one_scheme_is_none_of_the_other() {
    let shared = sign([&key(1)], "msg_1", 5, b"{}");
    let private = sign([&pair(1)], "msg_1", 5, b"{}");

    for (key, header) in [(key(1), private), (pair(1), shared)] {
        let verdict = verify([&key.for_receiver()], "msg_1", "5", &header, b"{}", 5);
        assert_eq!(verdict, Err(Unverified::Signature));
    }
}

#[test]
fn a_key_is_never_shown_by_debug() {
    assert_eq!(format!("{:?}", key(7)), "SigningKey([REDACTED])");
    assert_eq!(format!("{:?}", pair(7)), "SigningKey([REDACTED])");
    assert_eq!(format!("{:?}", key(7).for_receiver()), "ReceiverKey([REDACTED])");
}

/// The bytes of svix's published vector, signed by other hands:
/// `printf %s "$body" | openssl dgst -sha256 -hmac "$text"` for the literal key, `-mac HMAC -macopt hexkey:…`
/// for the decoded one, and Python's `hmac` for all. What the standard signs is the standard's own token.
#[test]
fn headers_of_older_make_are_as_other_hands_sign() {
    let key: SigningKey = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().expect("a key");
    let (id, timestamp_s, body) =
        ("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
    for (content, key_is, encoding, expected) in [
        (
            "{body}",
            "decoded",
            "hex",
            "e2cb4f5251572539d458bfb8a7adb533b08801e6a794467e06f771debbb0818b",
        ),
        ("{body}", "decoded", "base64", "4stPUlFXJTnUWL+4p621M7CIAeanlEZ+Bvdx3ruwgYs="),
        (
            "{body}",
            "literal",
            "hex",
            "80ec8a89ce3cd22133a1066caecb4d04fea7467657c8514d717ec42c38a5c94c",
        ),
        (
            "{timestamp}.{body}",
            "decoded",
            "hex",
            "e96203c6de850e7dc1fde7489ef6140b402d3a5a64fe250cd2eef9830fac1cef",
        ),
        ("{timestamp}.{body}", "literal", "base64", "LjffXUoCjFGn8xM9ZK4eMA0sLJAPGx1J1Daa0lMPiWQ="),
        (
            "{id}.{timestamp}.{body}",
            "decoded",
            "base64",
            "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        ),
        (
            "{id}.{timestamp}.{body}",
            "literal",
            "hex",
            "4dcc6584af5be940fa895235654dad4eaa7c3c455f611b1e34d7dae9bf8b7148",
        ),
    ] {
        let legacy: LegacyHeader = serde_json::from_value(serde_json::json!({
            "header": "X-Signature", "content": content, "key": key_is, "encoding": encoding,
            "prefix": "sha256=",
        }))
        .expect("a legacy header");

        let value = legacy.value([&key], id, timestamp_s, body);

        assert_eq!(value, Some(format!("sha256={expected}")), "{content} {key_is}");
    }
}

#[test]
fn a_header_of_older_make_is_signed_with_the_newest_shared_key_or_not_at_all() {
    let legacy: LegacyHeader = serde_json::from_str(r#"{"header":"X-Signature"}"#).expect("one");
    let pair = SigningKey::generated_for(Scheme::V1a, [1; 32]);
    let (newer, older) = (SigningKey::generated([2; 32]), SigningKey::generated([3; 32]));
    let value = |keys: &[&SigningKey]| legacy.value(keys.iter().copied(), "msg_1", 1, b"{}");

    assert_eq!(value(&[&pair, &newer, &older]), value(&[&newer]));
    assert_ne!(value(&[&newer]), value(&[&older]));
    assert_eq!(value(&[&pair]), None, "a public key checks nothing of this make");
}

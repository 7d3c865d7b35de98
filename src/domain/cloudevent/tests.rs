//! What a `CloudEvent` has to be, and what becomes of each of its parts.

use super::*;

const LEAST: &str = r#""specversion":"1.0","id":"A-1","source":"/jobs","type":"job.completed""#;

fn read(members: &str) -> Result<CloudEvent, Faults> {
    structured(&Bytes::from(format!("{{{members}}}")))
}

fn pairs(named: &[(&str, &str)]) -> Vec<(String, String)> {
    named.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

fn least() -> Vec<(String, String)> {
    pairs(&[("specversion", "1.0"), ("id", "A-1"), ("source", "/jobs"), ("type", "job.completed")])
}

/// The attributes that are wrong.
fn wrong(read: Result<CloudEvent, Faults>) -> Vec<String> {
    read.expect_err("refused").0.into_iter().map(|fault| fault.attribute).collect()
}

#[test]
fn every_attribute_has_its_place() {
    let event = read(&format!(
        r#"{LEAST},"subject":"job-7","time":"2026-08-21T12:11:12.5+02:00","datacontenttype":"application/json; charset=utf-8",
           "dataschema":"https://example.com/job","traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01","retries":3,"test":true,"gone":null,
           "data":{{ "n" : 1250.50 }}"#
    ))
    .expect("a CloudEvent");

    assert_eq!(
        (&*event.id, &*event.source, event.event_type.as_str()),
        ("A-1", "/jobs", "job.completed")
    );
    assert_eq!(event.subject.as_deref(), Some("job-7"));
    assert_eq!(event.time, Some(Timestamp::from_millis(1_787_307_072_500)));
    assert_eq!(event.content_type.as_deref(), Some("application/json; charset=utf-8"));
    assert_eq!(
        event.traceparent.as_deref(),
        Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
    );
    let attributes: Vec<_> =
        event.attributes.iter().map(|(name, text)| (&**name, &**text)).collect();
    assert_eq!(
        attributes,
        [
            ("source", "/jobs"),
            ("dataschema", "https://example.com/job"),
            ("retries", "3"),
            ("test", "true"),
            ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ]
    );
    assert_eq!(event.payload, r#"{ "n" : 1250.50 }"#);
}

#[test]
fn data_is_cut_out_of_the_body_as_it_stands_there() {
    let body = Bytes::from(format!(r#"{{{LEAST},"data" :  [1.50e+0400, "\u00e9"] }}"#));
    let event = structured(&body).expect("a CloudEvent");
    assert_eq!(event.payload, r#"[1.50e+0400, "\u00e9"]"#);
    let place = event.payload.as_ptr() as usize - body.as_ptr() as usize;
    assert_eq!(&body[place..place + event.payload.len()], event.payload, "not a copy");
}

#[test]
fn an_event_without_data_has_the_payload_null_and_base64_is_decoded() {
    let payload = |members: &str| read(&format!("{LEAST}{members}")).map(|event| event.payload);
    assert_eq!(payload("").as_deref(), Ok(b"null".as_slice()));
    assert_eq!(payload(r#","data":null"#).as_deref(), Ok(b"null".as_slice()));
    assert_eq!(
        payload(r#","data_base64":"eyJhIjoxfQ==""#).as_deref(),
        Ok(br#"{"a":1}"#.as_slice())
    );
    assert_eq!(payload(r#","data":7,"data_base64":null"#).as_deref(), Ok(b"7".as_slice()));
    assert_eq!(wrong(read(&format!(r#"{LEAST},"data":1,"data_base64":"MQ==""#))), ["data_base64"]);
    assert_eq!(wrong(read(&format!(r#"{LEAST},"data_base64":"~""#))), ["data_base64"]);
    let empty = binary(least(), None, &Bytes::new()).expect("a CloudEvent");
    assert_eq!(empty.payload, "null");
}

#[test]
fn binary_and_structured_come_to_the_same_event() {
    let data = Bytes::from_static(br#"{"job_id":"7"}"#);
    let more = pairs(&[("time", "2026-08-21T10:11:12Z"), ("subject", "7"), ("tenant", "eu")]);
    let headers = least().into_iter().chain(more).collect::<Vec<_>>();
    let one = binary(headers, Some("application/json"), &data).expect("binary");
    let other = read(&format!(
        r#"{LEAST},"tenant":"eu","subject":"7","time":"2026-08-21T10:11:12Z","datacontenttype":"application/json","data":{{"job_id":"7"}}"#
    ));
    assert_eq!(Ok(one), other);
}

#[test]
fn required_attributes_that_are_missing_are_all_named() {
    assert_eq!(wrong(read("")), ["specversion", "id", "source", "type"]);
    assert_eq!(wrong(binary([], None, &Bytes::new())), ["specversion", "id", "source", "type"]);
    let sentence =
        read(r#""specversion":"1.0","id":"1","type":"a""#).expect_err("refused").to_string();
    assert_eq!(sentence, "`source`: it is missing: a URI reference, as /jobs is wanted");
}

#[test]
fn an_attribute_that_cannot_be_one_is_named() {
    let long = "x".repeat(SHORT_TEXT_MAX + 1);
    for (members, expected) in [
        (r#""specversion":"0.3","id":"1","source":"/a","type":"a""#.to_owned(), "specversion"),
        (r#""specversion":1.0,"id":"1","source":"/a","type":"a""#.to_owned(), "specversion"),
        (r#""specversion":"1.0","id":"","source":"/a","type":"a""#.to_owned(), "id"),
        (format!(r#""specversion":"1.0","id":"{long}","source":"/a","type":"a""#), "id"),
        (r#""specversion":"1.0","id":"a\nb","source":"/a","type":"a""#.to_owned(), "id"),
        (r#""specversion":"1.0","id":"1","source":"a b","type":"a""#.to_owned(), "source"),
        (r#""specversion":"1.0","id":"1","source":"/a","type":"a b""#.to_owned(), "type"),
        (format!(r#"{LEAST},"subject":"""#), "subject"),
        (format!(r#"{LEAST},"time":"yesterday""#), "time"),
        (format!(r#"{LEAST},"dataschema":"""#), "dataschema"),
        (format!(r#"{LEAST},"datacontenttype":"text/plain","data":"hello""#), "datacontenttype"),
        (
            format!(r#"{LEAST},"datacontenttype":"application/cloudevents+json","data":{{}}"#),
            "datacontenttype",
        ),
        (format!(r#"{LEAST},"Tenant":"eu""#), "Tenant"),
        (format!(r#"{LEAST},"tenant_id":"eu""#), "tenant_id"),
        (format!(r#"{LEAST},"{}":"eu""#, "x".repeat(NAME_MAX + 1)), "xxxxxxxxxxxxxxxxxxxxx"),
        (format!(r#"{LEAST},"retries":1.5"#), "retries"),
        (format!(r#"{LEAST},"tags":["a"]"#), "tags"),
    ] {
        assert_eq!(wrong(read(&members)), [expected], "{members}");
    }
}

#[test]
fn attributes_are_few_and_short() {
    let many = |count: usize| {
        let more: Vec<_> = (0..count).map(|n| format!(r#","a{n}":"1""#)).collect();
        let more = more.concat();
        read(&format!("{LEAST}{more}"))
    };
    assert!(many(ATTRIBUTES_MAX - 1).is_ok(), "the source is one of them");
    assert_eq!(wrong(many(ATTRIBUTES_MAX)), [""]);
    let long = |bytes: usize| read(&format!(r#"{LEAST},"a":"{}""#, "x".repeat(bytes)));
    assert!(long(ATTRIBUTES_BYTES_MAX - "source/jobsa".len()).is_ok());
    assert_eq!(wrong(long(ATTRIBUTES_BYTES_MAX)), [""]);
}

#[test]
fn a_body_that_is_no_document_is_told_as_such() {
    for body in ["", "7", "[]", "{", "{} {}", r#"{"id":"1","id":"2"}"#, r#"{"data_base64":7}"#] {
        let why = structured(&Bytes::copy_from_slice(body.as_bytes())).expect_err(body);
        assert_eq!(why.0[0].attribute, "", "{body}: {why}");
    }
    assert!(structured(&Bytes::from_static(b"{\"id\":\"\xff\"}")).is_err());
}

#[test]
fn a_name_that_is_given_twice_has_one_value() {
    let twice = |value: &str| {
        let again = pairs(&[("id", value), ("tenant", "eu"), ("tenant", "eu")]);
        binary(least().into_iter().chain(again), None, &Bytes::new())
    };
    assert!(twice("A-1").is_ok());
    assert_eq!(wrong(twice("A-2")), ["id"]);
}

#[test]
fn the_media_type_tells_the_mode() {
    let json = "application/CloudEvents+JSON; charset=utf-8";
    assert_eq!(mode(Some(json)), Ok(Mode::Structured));
    for bare in [None, Some("application/json"), Some("application/cloudeventsish")] {
        assert_eq!(mode(bare), Ok(Mode::Bare));
    }
    for other in ["application/cloudevents-batch+json", "application/cloudevents+avro"] {
        assert!(mode(Some(other)).is_err(), "{other}");
    }
}

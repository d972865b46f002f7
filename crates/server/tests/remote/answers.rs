//! Answers that are errors, and answers that are none.

use std::sync::atomic::{AtomicUsize, Ordering};

use agent_data_store::{ErrorKind, Timestamp, block_on};

use crate::support::{Act, Between, TestServer, json, notes, open, reply, reply_with, try_open, view};

/// What a read fails with where every answer is this one.
fn refused(answer: Vec<u8>) -> (agent_data_store::Error, Between) {
    let between = Between::alone(move |_| Act::Say(answer.clone()));
    let store = open(&format!("{}?timeout=0.2", between.url()));
    let error = block_on(notes(&store).get("a")).expect_err("must fail");
    (error, between)
}

#[test]
fn every_error_crosses_the_network_whole() {
    for (status, code, kind) in [
        ("400 Bad Request", "invalid_argument", ErrorKind::InvalidArgument),
        ("400 Bad Request", "not_serializable", ErrorKind::NotSerializable),
        ("413 Content Too Large", "too_large", ErrorKind::TooLarge),
        ("412 Precondition Failed", "conflict", ErrorKind::Conflict),
        ("409 Conflict", "lease_held", ErrorKind::LeaseHeld),
        ("409 Conflict", "lease_lost", ErrorKind::LeaseLost),
        ("507 Insufficient Storage", "quota_exceeded", ErrorKind::QuotaExceeded),
        ("401 Unauthorized", "unauthenticated", ErrorKind::Unauthenticated),
        ("403 Forbidden", "permission_denied", ErrorKind::PermissionDenied),
        ("503 Service Unavailable", "unavailable", ErrorKind::Unavailable),
        ("500 Internal Server Error", "corrupt_store", ErrorKind::CorruptStore),
    ] {
        let body = format!(
            r#"{{"detail":"a \"message\"","code":"{code}","retryable":false,"operation":"write","namespace":"n","key":"k",
                "expectedVersion":3,"actualVersion":0,"holder":"someone","heldUntil":"2026-01-31T12:00:00.000001Z"}}"#
        );
        let (error, _) = refused(reply(status, "application/json", &body));
        assert_eq!((error.kind(), error.message()), (kind, "a \"message\""), "{code}");
        assert_eq!((error.namespace(), error.key()), (Some("n"), Some("k")));
        assert_eq!(error.operation(), Some("get"), "the caller's own");
        assert_eq!(error.version_mismatch().map(|found| (found.expected, found.actual)), Some((3, 0)));
        let holder = error.lease_holder().expect("a holder");
        assert_eq!(holder.agent.as_deref(), Some("someone"));
        assert_eq!(holder.expires_at, Timestamp::parse("2026-01-31T12:00:00.000001Z"));
    }
}

#[test]
fn errors_of_a_real_server_are_those_of_a_local_store() {
    let server = TestServer::start();
    let store = open(&server.url());
    for view in [notes(&store), server.served()] {
        let text = agent_data_store::SetOptions::default();
        block_on(view.set("text", json("\"x\""), text.clone())).expect("set");
        let error = block_on(view.increment("text", json("1"), None)).expect_err("no number");
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert_eq!(
            error.to_string(),
            "increment: the stored value is a string, not a number: increment needs a number"
        );
        assert_eq!((error.namespace(), error.key()), (Some("default"), Some("text")));
        let absent = agent_data_store::SetOptions { if_version: Some(0), ..text };
        let error = block_on(view.set("text", json("1"), absent)).expect_err("it is there");
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(error.version_mismatch().is_some_and(|found| found.expected == 0 && found.actual > 0));
        assert_eq!(error.operation(), Some("set"));
    }
}

#[test]
fn what_is_no_answer_of_ours_is_a_server_that_is_not_there() {
    let html = "<html>hunter2</html>";
    let answers = [
        reply("200 OK", "text/html", html),
        reply_with("200 OK", "text/html", "ETag: \"1\"\r\n", html),
        reply("404 Not Found", "text/html", html),
        reply("502 Bad Gateway", "text/html", html),
        reply("401 Unauthorized", "text/html", html),
        reply_with("302 Found", "text/html", "Location: http://127.0.0.1:1/hunter2\r\n", html),
        reply("200 OK", "application/json", "{\"hunter2\":1}"),
        reply_with("200 OK", "application/json", "ETag: \"hunter2\"\r\n", "1"),
        reply_with("200 OK", "application/json", "ETag: \"1\"\r\nX-Expires-At: hunter2\r\n", "1"),
        reply("404 Not Found", "application/json", r#"{"detail":"no such path","code":"no_such_path"}"#),
        reply("418 I'm a Teapot", "application/json", r#"{"code":"of_another_version"}"#),
        reply(
            "500 Internal Server Error",
            "application/json",
            r#"{"detail":"internal error","code":"internal_error"}"#,
        ),
        b"hunter2 speaks no HTTP\r\n\r\n".to_vec(),
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nhunter2\r\n".to_vec(),
    ];
    for answer in answers {
        let shown = String::from_utf8_lossy(&answer).into_owned();
        let (error, between) = refused(answer);
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{shown}: {error}");
        assert!(error.message().contains(&between.address().to_string()), "{error}");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
}

#[test]
fn bodies_that_are_not_what_was_asked_for_are_refused_whatever_was_asked() {
    let between = Between::alone(|heard| {
        // A batch that did one thing of two.
        let body = if heard.is_for("/data-store/batch") { r#"[{"existed":false,"version":1}]"# } else { "[[{}]]" };
        Act::Say(reply("200 OK", "application/json", body))
    });
    let store = open(&between.url());
    let notes = notes(&store);
    let failed = [
        block_on(notes.get("a")).map(drop),
        block_on(notes.get_record("a")).map(drop),
        block_on(notes.get_many(&["a"])).map(drop),
        block_on(notes.get_all()).map(drop),
        block_on(notes.list_keys("")).map(drop),
        block_on(notes.count("")).map(drop),
        block_on(notes.list_namespaces("")).map(drop),
        block_on(notes.namespaces()).map(drop),
        block_on(notes.set_many(vec![("a", json("1")), ("b", json("1"))], None, None)).map(drop),
        block_on(notes.clear()).map(drop),
        block_on(notes.changes(0, 1)).map(drop),
        block_on(notes.position()).map(drop),
    ];
    for result in failed {
        assert_eq!(result.expect_err("no answer").kind(), ErrorKind::Unavailable);
    }
}

#[test]
fn a_server_that_is_asked_too_often_is_asked_again_when_it_says() {
    for status in ["429 Too Many Requests", "503 Service Unavailable"] {
        let asked = AtomicUsize::new(0);
        let between = Between::alone(move |_| {
            Act::Say(match asked.fetch_add(1, Ordering::SeqCst) {
                0..=2 => reply_with(status, "text/plain", "Retry-After: 0\r\n", "later"),
                _ => reply("200 OK", "application/json", r#"[{"existed":false,"version":7}]"#),
            })
        });
        let store = open(&between.url());
        let version = block_on(notes(&store).set("a", json("1"), agent_data_store::SetOptions::default()));
        assert_eq!(version.expect("the fourth time"), 7);
        let heard = between.heard("/data-store/batch");
        assert_eq!(heard.len(), 4);
        assert!(heard.iter().all(|one| one.header("idempotency-key") == heard[0].header("idempotency-key")));
    }
}

#[test]
fn a_server_that_asks_for_more_patience_than_there_is_is_not_asked_again() {
    let (error, between) = refused(reply_with("429 Too Many Requests", "text/plain", "Retry-After: 3600\r\n", "later"));
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.message().contains("too often"), "{error}");
    assert_eq!(between.heard("/data-store/namespaces").len(), 1);
}

#[test]
fn a_server_that_says_nothing_is_given_up() {
    let between = Between::alone(|_| Act::Silence);
    let store = open(&format!("{}?timeout=0.1", between.url()));
    let error = block_on(notes(&store).get("a")).expect_err("no answer");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.message().contains("did not answer within 100ms"), "{error}");
}

#[test]
fn the_token_goes_with_every_call_and_its_user_is_the_one_who_is_meant() {
    let between = Between::alone(|heard| {
        Act::Say(match heard.is_for("/data-store/namespaces") {
            true => reply("200 OK", "application/json", "[]"),
            false => reply("200 OK", "application/json", r#"[{"existed":false,"version":1}]"#),
        })
    });
    let store = try_open(&between.url(), Some("ads_hunter2")).expect("the store opens");
    let identity = store.identity(None, Some("reader")).expect("an identity");
    let own = store.data_store(identity, "default").expect("a view");
    block_on(own.set("a", json("1"), agent_data_store::SetOptions::default())).expect("set");
    block_on(view(&store, "other", None).list_keys("")).expect("list_keys");
    let heard = between.heard("/");
    assert!(heard.iter().all(|heard| heard.header("authorization") == Some("Bearer ads_hunter2")));
    let said: Vec<_> = heard.iter().map(|heard| (heard.header("x-user-id"), heard.header("x-agent-name"))).collect();
    assert_eq!(said, [(None, None), (Some("default"), Some("reader")), (Some("other"), None)]);
}

#[test]
fn a_token_that_the_server_does_not_know_keeps_the_store_from_opening() {
    let body = r#"{"detail":"the token is not known: have a new one made","code":"unauthenticated","retryable":false}"#;
    let answer = reply("401 Unauthorized", "application/json", body);
    let between = Between::saying(answer);
    let error = try_open(&between.url(), Some("ads_hunter2")).expect_err("not known");
    assert_eq!(error.kind(), ErrorKind::Unauthenticated);
    assert_eq!(error.operation(), Some("open"));
    assert_eq!(between.heard("/data-store/whoami").len(), 1, "asked once");
}

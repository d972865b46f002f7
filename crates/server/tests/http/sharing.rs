//! Locks and tasks: work that many share, between requests that know nothing of each other.

use serde_json::{Value, json};

use crate::support::{Reply, TestServer, on_each_engine, record};

const LOCKS: &str = "/data-store/namespaces/n/locks";
const TASKS: &str = "/data-store/namespaces/n/tasks";

fn as_agent(server: &TestServer, agent: &str, path: &str, body: &Value) -> Reply {
    let headers = [("content-type", "application/json"), ("x-agent-name", agent)];
    server.send("POST", path, &headers, body.to_string())
}

fn lock(server: &TestServer, agent: &str, verb: &str, body: &Value) -> Reply {
    as_agent(server, agent, &format!("{LOCKS}/{verb}"), body)
}

fn task(server: &TestServer, agent: &str, verb: &str, body: &Value) -> Reply {
    as_agent(server, agent, &format!("{TASKS}/{verb}"), body)
}

fn token(reply: &Value) -> u64 {
    reply["token"].as_u64().expect("a token")
}

#[test]
fn a_lock_has_one_holder_known_by_its_token() {
    on_each_engine(|server| {
        let ask = json!({"resource": "report/a", "ttlSeconds": 60});
        let held = lock(server, "one", "acquire", &ask).expect(200);
        assert_eq!(held["resource"], "report/a");
        let error = lock(server, "two", "acquire", &ask).fails(409, "lease_held");
        assert_eq!((&error["holder"], &error["retryable"]), (&json!("one"), &json!(true)));
        assert!(error["heldUntil"].is_string());
        assert_eq!(server.get(&record("n", "lock:report/a")).expect(200)["value"]["agent"], "one");

        let hold = json!({"resource": "report/a", "token": token(&held), "ttlSeconds": 120});
        for _ in 0..3 {
            let renewed = lock(server, "one", "renew", &hold).expect(200);
            assert_eq!(renewed["token"], held["token"], "the token stays");
            assert!(renewed["expiresAt"].as_str() > held["expiresAt"].as_str());
        }
        let wrong = json!({"resource": "report/a", "token": token(&held) + 1});
        lock(server, "one", "renew", &wrong).fails(409, "lease_lost");
        lock(server, "one", "release", &wrong).fails(409, "lease_lost");
        let give_back = json!({"resource": "report/a", "token": token(&held)});
        assert_eq!(lock(server, "one", "release", &give_back).status, 204);
        lock(server, "one", "release", &give_back).fails(409, "lease_lost");
        lock(server, "one", "renew", &hold).fails(409, "lease_lost");
        let next = lock(server, "two", "acquire", &ask).expect(200);
        assert!(token(&next) > token(&held));
        lock(server, "one", "renew", &hold).fails(409, "lease_lost");
    });
}

#[test]
fn a_lock_is_waited_for() {
    on_each_engine(|server| {
        let ask = json!({"resource": "r", "waitSeconds": 30});
        let held = lock(server, "one", "acquire", &ask).expect(200);
        let waiting = server.begin_post(&format!("{LOCKS}/acquire"), &ask.to_string());
        server.await_in_flight(1);
        let give_back = json!({"resource": "r", "token": token(&held)});
        assert_eq!(lock(server, "one", "release", &give_back).status, 204);
        assert!(token(&waiting.end().expect(200)) > token(&held));
        lock(server, "one", "acquire", &json!({"resource": "r", "waitSeconds": 0.01})).fails(409, "lease_held");
    });
}

#[test]
fn a_task_is_done_by_one() {
    on_each_engine(|server| {
        for key in ["job:1", "job:2", "other"] {
            server.put(&record("n", key), &json!({"value": {"of": key}}).to_string()).expect(200);
        }
        let ask = json!({"prefix": "job:", "ttlSeconds": 60});
        let claim = task(server, "one", "claim", &ask).expect(200);
        let members = (&claim["key"], &claim["value"], &claim["attempt"], &claim["lastError"]);
        assert_eq!(members, (&json!("job:1"), &json!({"of": "job:1"}), &json!(1), &Value::Null));
        assert!(claim["until"].is_string());
        let second = task(server, "two", "claim", &ask).expect(200);
        assert_eq!(second["key"], "job:2");
        assert_eq!(task(server, "three", "claim", &ask).status, 204);

        let summary = server.get(&format!("{TASKS}?prefix=job:")).expect(200);
        assert_eq!((&summary["waiting"], &summary["done"]), (&json!(0), &json!(0)));
        let claimed = json!({"key": "job:1", "agent": "one", "attempt": 1, "until": claim["until"]});
        assert_eq!(summary["claimed"][0], claimed);

        let renew = json!({"key": "job:1", "token": token(&claim), "ttlSeconds": 600});
        for _ in 0..2 {
            let renewed = task(server, "one", "renew", &renew).expect(200);
            assert_eq!(renewed["token"], claim["token"], "the token stays");
            assert!(renewed["until"].as_str() > claim["until"].as_str());
        }
        let done = json!({"key": "job:1", "token": token(&claim), "result": {"words": 7}});
        assert_eq!(task(server, "one", "complete", &done).status, 204);
        task(server, "one", "complete", &done).fails(409, "lease_lost");
        assert_eq!(server.get(&record("tasks-done:n", "job:1")).expect(200)["value"], json!({"words": 7}));
        server.get(&record("n", "job:1")).fails(404, "not_found");
        let stranger = json!({"key": "job:2", "token": token(&claim)});
        task(server, "one", "release", &stranger).fails(409, "lease_lost");
    });
}

#[test]
fn a_task_that_fails_is_tried_again_or_set_aside() {
    on_each_engine(|server| {
        server.put(&record("n", "job"), r#"{"value": 1}"#).expect(200);
        let ask = json!({"ttlSeconds": 60});
        let claim = || task(server, "one", "claim", &ask).expect(200);
        let first = claim();
        let again = json!({"key": "job", "token": token(&first), "error": "no answer", "retryInSeconds": 0});
        assert_eq!(task(server, "one", "fail", &again).status, 204);
        let second = claim();
        assert_eq!((&second["attempt"], &second["lastError"]), (&json!(2), &json!("no answer")));
        task(server, "one", "fail", &again).fails(409, "lease_lost");
        assert_eq!(task(server, "one", "release", &json!({"key": "job", "token": token(&second)})).status, 204);
        let third = claim();
        assert_eq!(third["attempt"], 2);
        let for_good = json!({"key": "job", "token": token(&third), "error": "gave up"});
        assert_eq!(task(server, "one", "fail", &for_good).status, 204);
        let summary = server.get(TASKS).expect(200);
        assert_eq!(summary["failed"], json!([{"key": "job", "attempts": 2, "error": "gave up"}]));
        assert_eq!(task(server, "one", "claim", &ask).status, 204);
    });
}

#[test]
fn a_task_is_waited_for() {
    on_each_engine(|server| {
        let ask = json!({"ttlSeconds": 60, "waitSeconds": 30}).to_string();
        let waiting = server.begin_post(&format!("{TASKS}/claim"), &ask);
        server.await_in_flight(1);
        server.put(&record("n", "job"), r#"{"value": 1}"#).expect(200);
        assert_eq!(waiting.end().expect(200)["key"], "job");
    });
}

#[test]
fn claims_and_locks_that_make_no_sense_are_refused() {
    on_each_engine(|server| {
        for body in [
            json!({}),
            json!({"resource": "r", "ttlSeconds": 0}),
            json!({"resource": "r", "waitSeconds": -1}),
            json!({"resource": "r", "ttlSeconds": "5m"}),
            json!({"resource": 5}),
            json!({"resource": "r", "wait": 1}),
            json!({"resource": "x".repeat(1_024)}),
        ] {
            lock(server, "one", "acquire", &body).fails(400, "invalid_argument");
        }
        for body in [
            json!({}),
            json!({"ttlSeconds": null}),
            json!({"ttlSeconds": 0}),
            json!({"ttlSeconds": 1, "maxAttempts": -1}),
        ] {
            task(server, "one", "claim", &body).fails(400, "invalid_argument");
        }
        task(server, "one", "complete", &json!({"key": "job"})).fails(400, "invalid_argument");
        task(server, "one", "complete", &json!({"key": "job", "token": 7})).fails(409, "lease_lost");
    });
}

//! Likely credentials in what is written, on both engines. Every token here is made up, and put together at run time so
//! that no file holds the shape of one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use agent_data_store::model::{Address, Expiry, Mutation, Precondition, Write};
use agent_data_store::{
    AppendOptions, ClaimOptions, DataStore, Error, ErrorKind, Identity, Json, Limits, Options, Result, SecretsPolicy,
    SecretsWarning, SetOptions, Store, WarningSink, block_on, sqlite_url,
};

const DIGITS: &str = "0123456789";
const CAPITALS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const SMALL: &str = "abcdefghijklmnopqrstuvwxyz";

fn random(seed: u64, alphabets: &[&str], length: usize) -> String {
    let characters: Vec<char> = alphabets.concat().chars().collect();
    let mut random = fastrand::Rng::with_seed(seed);
    (0..length).map(|_| characters[random.usize(..characters.len())]).collect()
}

/// A made-up credential of every kind.
fn credentials(seed: u64) -> Vec<(&'static str, String)> {
    let alnum = |length| random(seed, &[DIGITS, CAPITALS, SMALL], length);
    let url = |length| random(seed, &[DIGITS, CAPITALS, SMALL, "-_"], length);
    let base64 = |length| random(seed, &[DIGITS, CAPITALS, SMALL, "+/"], length);
    let capitals = |length| random(seed, &["234567", CAPITALS], length);
    let hex = |length| random(seed, &[DIGITS, "abcdef"], length);
    let digits = |length| random(seed, &["123456789"], length);
    let lines = |count: usize| {
        let line = |n| random(seed + n, &[DIGITS, CAPITALS, SMALL, "+/"], 64);
        (0..count as u64).map(|n| line(n) + "\n").collect::<String>()
    };
    let private_key = |kind: &str, body: String| format!("-----BEGIN {kind}-----\n{body}-----END {kind}-----\n");
    let mut all = vec![
        ("a GitHub token", format!("github_{}_{}_{}", "pat", alnum(22), alnum(59))),
        ("a GitHub token", format!("{}_{}_{}.{}.{}", "ghs", digits(6), "eyJ".to_owned() + &url(60), url(300), url(86))),
        ("a GitHub token", format!("{}_{}", "ghr", alnum(76))),
        ("a GitLab token", format!("{}-{}.{}", "glpat", url(40), hex(9))),
        ("an AWS access key id", format!("{}{}", "AKIA", capitals(16))),
        ("an AWS access key id", format!("{}{}", "ASIA", capitals(16))),
        ("a Google API key", format!("{}{}", "AIza", url(35))),
        ("a Google API key", format!("{}.Ab{}", "AQ", url(48))),
        ("a Google OAuth client secret", format!("{}-{}", "GOCSPX", url(28))),
        ("a Slack token", format!("{}-{}-{}-{}", "xoxb", digits(12), digits(13), alnum(24))),
        ("a Slack token", format!("{}-{}-{}-{}-{}", "xoxp", digits(11), digits(11), digits(12), hex(32))),
        ("a Slack token", format!("{}-1-{}-{}-{}", "xapp", capitals(11), digits(13), hex(64))),
        ("a Slack token", format!("{}.{}-1-{}", "xoxe", "xoxb", alnum(163))),
        (
            "a Slack webhook URL",
            format!("https://hooks.slack.{}/services/T{}/B{}/{}", "com", capitals(8), capitals(10), alnum(24)),
        ),
        ("a Stripe live key", format!("{}_live_{}", "sk", alnum(24))),
        ("a Stripe live key", format!("{}_live_{}", "rk", alnum(99))),
        ("an OpenAI API key", format!("{}-{}T3Blbk{}{}", "sk", alnum(20), "FJ", alnum(20))),
        ("an OpenAI API key", format!("{}-proj-{}T3Blbk{}{}", "sk", url(74), "FJ", url(74))),
        ("an OpenAI API key", format!("{}-svcacct-{}T3Blbk{}{}", "sk", url(58), "FJ", url(58))),
        ("an Anthropic API key", format!("{}-ant-api03-{}AA", "sk", url(93))),
        ("an Anthropic API key", format!("{}-ant-admin01-{}AA", "sk", url(93))),
        ("an Anthropic API key", format!("{}-ant-oat01-{}AA", "sk", url(93))),
        ("an OpenRouter API key", format!("{}-or-v1-{}", "sk", hex(64))),
        ("an npm token", format!("{}_{}", "npm", alnum(36))),
        ("a PyPI token", format!("{}-AgEIcHlwaS5vcmc{}", "pypi", url(150))),
        ("a Hugging Face token", format!("{}_{}", "hf", random(seed, &[CAPITALS, SMALL], 34))),
        ("an Azure storage key", format!("AccountName=x;{}={}==;EndpointSuffix=y", "AccountKey", base64(86))),
        ("an Azure access key", format!("SharedAccessKeyName=x;{}={}=", "SharedAccessKey", base64(43))),
        ("a private key", private_key("PGP PRIVATE KEY BLOCK", format!("Version: 1\n\n{}", lines(9)))),
        ("a private key", private_key("RSA PRIVATE KEY", format!("Proc-Type: 4,ENCRYPTED\n\n{}", lines(9)))),
    ];
    all.push(("a private key", private_key("PRIVATE KEY", lines(5)).replace('\n', "")));
    for prefix in ["ghp", "gho", "ghu", "ghs", "ghr"] {
        all.push(("a GitHub token", format!("{prefix}_{}", alnum(36))));
    }
    for prefix in ["gldt", "glrt"] {
        all.push(("a GitLab token", format!("{prefix}-{}", url(26))));
    }
    for kind in ["", "ENCRYPTED ", "RSA ", "EC ", "DSA ", "OPENSSH "] {
        all.push(("a private key", private_key(&format!("{kind}PRIVATE KEY"), lines(5))));
    }
    all
}

/// What people and agents store all day.
fn ordinary() -> Vec<String> {
    let alnum = |seed, length| random(seed, &[DIGITS, CAPITALS, SMALL], length);
    let header = |kind: &str| format!("-----BEGIN {kind}-----");
    let mut all: Vec<String> = [
        "The risk-averse task-runner asked its sk-learn model; the disk-cache held.",
        "GitHub tokens start with ghp_, gho_ or github_pat_, Slack's with xoxb-, GitLab's with glpat-.",
        "if token.startswith(\"ghp_\") or token.startswith('sk-'):\n    raise ValueError('AKIA… and AIza… are keys')",
        "GITHUB = re.compile(r\"ghp_[A-Za-z0-9]{36}|github_pat_\\w{82}|sk-[a-zA-Z0-9]{48}|AKIA[0-9A-Z]{16}\")",
        "export OPENAI_API_KEY=sk-... ANTHROPIC_API_KEY=sk-ant-... HF_TOKEN=hf_... NPM_TOKEN=npm_...",
        "export OPENAI_API_KEY=sk-proj-your-own-key-of-the-project-goes-right-here-please",
        "sk-ant-api03-YOUR_KEY_GOES_HERE_AND_IT_IS_VERY_LONG_REALLY_LONG_INDEED",
        "sk-ant-api03-Your-Key-Goes-Here-And-It-Is-Very-Long-Really-Long-Indeed",
        "data_store.set(\"api_key\", \"sk-secret-key\")",
        "see glpat-token-for-the-runner and gldt-the-token-of-the-deployment in the vault",
        "os.environ['npm_config_registry'], npm_lifecycle_event, npm_package_dependencies_left_pad_version",
        "from huggingface_hub import hf_hub_download, hf_hub_url  # hf_transfer speeds it up",
        "hf_this_is_the_name_of_a_function_of_ours(), sk_live_configuration_of_the_server = load()",
        "pip install pypi-AgE; pypi-simple; pypi-attestations",
        "arn:aws:iam::123456789012:role/AKIAExample and the AKIA prefix, ASIAN markets, ASIAPACIFIC",
        "https://hooks.slack.com/services/ is where incoming webhooks live, such as hooks.slack.com/services/T.../B...",
        "DefaultEndpointsProtocol=https;AccountName=x;AccountKey=<your key>;SharedAccessKey={key}",
        "1f3870be274f6c49b3e31a0c6728957f da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg_SpIdNs6c5H",
        "550e8400-e29b-41d4-a716-446655440000 01ARZ3NDEKTSV4RRFFQ69G5FAV req_011CSHoEeqs5C35K2UUqR7Fy",
        "msg_01XFDUDYJgAACzvnptvVoYEL chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT cus_NffrFeUfNV2Hib pi_3MtwBwLkdIwHu7ix28a3tqPa",
        "Zażółć gęślą jaźń — 한국어 문장, 日本語の文、emoji 🙂, \\ back\\slashes\\, \"quotes\" and \ttabs\n",
        "",
        "-----",
        "| --- | --- |\n---------------------------------------------------------------------------\n-----BEGIN-----",
    ]
    .map(str::to_owned)
    .into();
    all.extend([
        // Placeholders.
        format!("{}_{}", "ghp", "x".repeat(36)),
        format!("{}-ant-api03-{}", "sk", "X".repeat(95)),
        format!("{}{}", "AKIA", "X".repeat(16)),
        format!("https://hooks.slack.{}/services/T00000000/B00000000/{}", "com", "X".repeat(24)),
        // Nothing can be done with these.
        format!("{}_test_{}", "sk", alnum(1, 24)),
        format!("{}_live_{}", "pk", alnum(2, 24)),
        // Tokens of sessions are handed from agent to agent.
        format!("{}{}.{}{}.{}", "eyJ", alnum(3, 33), "eyJ", alnum(4, 120), alnum(5, 43)),
        // Right letters, wrong length, or inside of a longer word.
        format!("{}_{}", "ghp", alnum(6, 35)),
        format!("{}_{}", "npm", alnum(7, 37)),
        format!("{}_{}_suffix", "hf", alnum(21, 34)),
        format!("{}_{}", "hf", alnum(8, 33)),
        format!("{}{}", "AKIA", random(9, &[CAPITALS], 17)),
        format!("{}{}", "AIza", alnum(10, 36)),
        format!("desk-{}", alnum(11, 48)),
        format!("di{}-{}", "sk", alnum(12, 48)),
        format!("x{}{}", "AKIA", random(13, &[CAPITALS], 16)),
        format!("/assets/index_{}_{}.js", "ghp", alnum(14, 8)),
        // What is public, and what only speaks of keys.
        format!("{}\nMIIB{}\n", header("PUBLIC KEY"), alnum(15, 60)),
        format!("{}\nMIID{}\n", header("CERTIFICATE"), alnum(16, 60)),
        format!("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{} me@example.com", alnum(17, 43)),
        format!("if text.startswith({:?}): return 'PEM'", header("PRIVATE KEY")),
        format!("the file begins with {} and then has lines of base64", header("RSA PRIVATE KEY")),
        format!("{}\n...\n-----END PRIVATE KEY-----", header("PRIVATE KEY")),
        format!("{}\n<your key>\n-----END PRIVATE KEY-----", header("OPENSSH PRIVATE KEY")),
        // Images and other blobs.
        format!("data:image/png;base64,iVBORw0KGgo{}==", random(18, &[DIGITS, CAPITALS, SMALL, "+/"], 1_000_000)),
        random(19, &[DIGITS, CAPITALS, SMALL, "-_"], 1_000_000),
        random(20, &[DIGITS, "abcdef"], 100_000),
    ]);
    all
}

#[derive(Debug, Default)]
struct Heard(Mutex<Vec<SecretsWarning>>);

impl Heard {
    fn take(&self) -> Vec<SecretsWarning> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    /// What has been heard since the last time: part, place and kind.
    fn brief(&self) -> Vec<(&'static str, String, &'static str)> {
        self.take().into_iter().map(|warning| (warning.part, warning.place, warning.kind)).collect()
    }
}

impl WarningSink for Heard {
    fn warn(&self, warning: &SecretsWarning) {
        self.0.lock().unwrap().push(warning.clone());
    }
}

/// Runs on an empty store of each engine, with the policy in its URL.
fn on_each_engine(policy: &str, test: impl Fn(&DataStore, &Heard)) {
    let folder = tempfile::tempdir().unwrap();
    for url in ["memory:".to_owned(), sqlite_url(&folder.path().join("store.db"))] {
        let heard = Arc::new(Heard::default());
        let mut options = Options::default();
        options.warnings = Some(Arc::<Heard>::clone(&heard));
        let store = block_on(Store::open(&format!("{url}?secrets={policy}"), options)).unwrap();
        test(&store.data_store(Identity::new("alice", Some("tester")).unwrap(), "default").unwrap(), &heard);
    }
}

fn json(value: serde_json::Value) -> Json {
    Json::parse(&value.to_string(), &Limits::default()).unwrap()
}

fn text(text: &str) -> Json {
    json(text.into())
}

fn token() -> String {
    format!("{}_{}", "ghp", random(77, &[DIGITS, CAPITALS, SMALL], 36))
}

fn set(view: &DataStore, key: &str, value: Json) -> Result<u64> {
    block_on(view.set(key, value, SetOptions::default()))
}

fn get(view: &DataStore, key: &str) -> Option<Json> {
    block_on(view.get(key)).unwrap()
}

/// The error must be a refusal that shows the place and the kind, and nothing of the token.
#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T>, place: &str, kind: &str, secret: &str) {
    let error = result.expect_err("must be refused");
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    let message = error.message();
    assert!(message.contains(&format!("looks like {kind} at {place}:")), "{message}");
    assert!(message.contains("environment variable") && message.contains("secrets=allow"), "{message}");
    shows_nothing(&format!("{error} {error:?}"), secret);
}

#[track_caller]
fn shows_nothing(shown: &str, secret: &str) {
    let halves = [&secret[..secret.len() / 2], &secret[secret.len() / 2..]];
    assert!(halves.iter().all(|half| !shown.contains(half)), "the credential is shown");
}

#[test]
fn every_kind_is_found_at_its_place() {
    on_each_engine("refuse", |view, _| {
        for seed in 0..20 {
            for (kind, secret) in credentials(seed) {
                let inside = serde_json::json!({ "password": secret }).to_string();
                let escaped_slashes = serde_json::json!({ "t": secret }).to_string().replace('/', "\\/");
                let values = [
                    (text(&secret), "$"),
                    (json(serde_json::json!({"config": [0, {"token": secret}]})), "$.config[1].token"),
                    (json(serde_json::json!([[[["deep", {"a b": secret}]]]])), "$[0][0][0][1][\"a b\"]"),
                    (text(&format!("line one\n{secret}\nline three")), "$"),
                    (text(&format!("Authorization: Bearer {secret}")), "$"),
                    (text(&format!("curl 'https://{secret}@example.com/x?key={secret}'")), "$"),
                    (text(&format!("KEY=\"{secret}\"; \t{secret}")), "$"),
                    (text(&format!("令牌{secret}。")), "$"),
                    (text(&format!("not sk-ant-api03-your-key-goes-here-dear-reader-of-this-page but {secret}")), "$"),
                    (text(&inside), "$"),
                    (text(&text(&format!("\n{secret}")).to_string()), "$"),
                    (Json::parse(&escaped_slashes, &Limits::default()).unwrap(), "$.t"),
                    (json(serde_json::json!({"a": {secret.clone(): 1}})), "$.a[…]"),
                ];
                for (value, place) in values {
                    refused(set(view, "k", value), place, kind, &secret);
                }
            }
        }
        assert_eq!(block_on(view.count("")).unwrap(), 0);
    });
}

#[test]
fn ordinary_text_is_not_flagged() {
    on_each_engine("refuse", |view, _| {
        for ordinary in ordinary() {
            let start: String = ordinary.chars().take(100).collect();
            set(view, "k", text(&ordinary)).expect(&start);
            set(view, "k", json(serde_json::json!({"a": [ordinary.clone()], ordinary: 1}))).expect(&start);
        }
    });
}

#[test]
fn refusing_stores_nothing_whatever_the_verb() {
    let secret = token();
    let kind = "a GitHub token";
    on_each_engine("refuse", |view, heard| {
        let bad = || json(serde_json::json!({"a": {"token": secret}}));
        let address = |key: &str| Address { namespace: "default".into(), key: key.into() };
        let write = |key: &str, mutation| Write {
            address: address(key),
            precondition: Precondition::None,
            mutation,
            metadata: None,
            expiry: Expiry::Default,
        };
        set(view, "good", json(serde_json::json!({"n": 1}))).unwrap();
        set(view, "list", json(serde_json::json!(["one"]))).unwrap();

        refused(set(view, "good", bad()), "$.a.token", kind, &secret);
        let items = vec![("x", text("fine")), ("y", bad()), ("z", text("fine"))];
        refused(block_on(view.set_many(items, None, None)), "$.a.token", kind, &secret);
        let metadata = Some(json(serde_json::json!({"by": [secret]})));
        let options = SetOptions { metadata: metadata.clone(), ..SetOptions::default() };
        refused(block_on(view.set("good", text("fine"), options)), "$.by[0]", kind, &secret);
        refused(block_on(view.set_many(vec![("x", text("fine"))], metadata, None)), "$.by[0]", kind, &secret);
        refused(block_on(view.merge("good", bad(), None)), "$.a.token", kind, &secret);
        let items = json(serde_json::json!(["two", {"t": secret}]));
        refused(block_on(view.extend("list", items, AppendOptions::default())), "$[1].t", kind, &secret);
        refused(block_on(view.update("good", None, async |_| Ok::<_, Error>(bad()))), "$.a.token", kind, &secret);
        let computed = block_on(view.get_or_compute("cold", None, async || Ok::<_, Error>(bad())));
        refused(computed, "$.a.token", kind, &secret);
        let writes = vec![write("x", Mutation::Set(text("fine"))), write("y", Mutation::Set(bad()))];
        refused(block_on(view.write(writes)), "$.a.token", kind, &secret);

        // In a transaction the line that brings it fails, and leaves out only itself.
        let transaction = view.transaction();
        transaction.set("before", text("fine"), SetOptions::default()).unwrap();
        refused(transaction.set("bad", bad(), SetOptions::default()), "$.a.token", kind, &secret);
        refused(block_on(transaction.merge("good", bad(), None)), "$.a.token", kind, &secret);
        let other = transaction.use_namespace("other").unwrap();
        refused(other.set("bad", bad(), SetOptions::default()), "$.a.token", kind, &secret);
        block_on(transaction.commit()).unwrap();

        let keys: Vec<_> = block_on(view.list_keys("")).unwrap();
        assert_eq!(keys.iter().map(|key| &**key).collect::<Vec<_>>(), ["before", "good", "list"]);
        assert_eq!(get(view, "good"), Some(json(serde_json::json!({"n": 1}))));
        assert_eq!(get(view, "list"), Some(json(serde_json::json!(["one"]))));
        assert_eq!(block_on(view.list_namespaces("")).unwrap(), ["default".into()]);
        assert_eq!(heard.take(), []);
    });
}

#[test]
fn the_error_names_the_record() {
    on_each_engine("refuse", |view, _| {
        let error = set(view, "settings", text(&token())).expect_err("must be refused");
        assert_eq!((error.namespace(), error.key()), (Some("default"), Some("settings")));
        assert_eq!(error.operation(), Some("set"));
        assert!(error.message().contains("value of key \"settings\" in namespace \"default\""), "{error}");
        assert!(!error.is_retryable());
    });
}

#[test]
fn names_that_hold_the_credential_are_not_shown() {
    let secret = token();
    on_each_engine("refuse", |view, _| {
        let value = json(serde_json::json!({secret.clone(): {"copy": secret}}));
        for (namespace, key) in [("default", &*format!("token:{secret}")), (&*format!("of {secret}"), "k")] {
            let view = view.use_namespace(namespace).unwrap();
            let error = set(&view, key, value.clone()).expect_err("must be refused");
            shows_nothing(&format!("{error} {error:?} {}", agent_data_store::wire::error(&error)), &secret);
        }
    });
    on_each_engine("warn", |view, heard| {
        set(view, &secret, json(serde_json::json!({secret.clone(): {"copy": secret}}))).unwrap();
        let warnings = heard.take();
        assert_eq!(warnings.iter().map(|warning| &*warning.place).collect::<Vec<_>>(), ["$[…]", "$[…].copy"]);
        warnings.iter().for_each(|warning| shows_nothing(&warning.to_string(), &secret));
    });
}

#[test]
fn warning_stores_and_tells_once_it_is_stored() {
    let secret = token();
    let kind = "a GitHub token";
    on_each_engine("warn", |view, heard| {
        let bad = || json(serde_json::json!({"a": {"token": secret}}));
        let found = |part, place: &str| vec![(part, place.to_owned(), kind)];
        assert_eq!(view.secrets_policy(), SecretsPolicy::Warn);

        set(view, "k", bad()).unwrap();
        assert_eq!(get(view, "k"), Some(bad()));
        let warning = heard.take().pop().expect("a warning");
        assert_eq!((&*warning.namespace, &*warning.key), ("default", "k"));
        let message = warning.to_string();
        assert!(message.starts_with("value of key \"k\" in namespace \"default\" holds what looks like"), "{message}");
        shows_nothing(&message, &secret);

        block_on(view.merge("k", bad(), None)).unwrap();
        assert_eq!(heard.brief(), found("merge patch", "$.a.token"));
        let items = json(serde_json::json!(["one", secret]));
        block_on(view.extend("list", items, AppendOptions::default())).unwrap();
        assert_eq!(heard.brief(), found("appended items", "$[1]"));
        let metadata = Some(json(serde_json::json!({"m": secret})));
        let options = SetOptions { metadata, ..SetOptions::default() };
        block_on(view.set("with metadata", text("fine"), options)).unwrap();
        assert_eq!(heard.brief(), found("metadata", "$.m"));
        block_on(view.get_or_compute("cold", None, async || Ok::<_, Error>(bad()))).unwrap();
        assert_eq!(heard.brief(), found("value", "$.a.token"));

        // Not before it is stored, and not twice.
        let stale = SetOptions { if_version: Some(1_000_000), ..SetOptions::default() };
        block_on(view.set("k", bad(), stale)).expect_err("no such version");
        let transaction = view.transaction();
        transaction.set("t", bad(), SetOptions::default()).unwrap();
        assert_eq!(heard.take(), []);
        block_on(transaction.commit()).unwrap();
        assert_eq!(heard.brief(), found("value", "$.a.token"));
        let transaction = view.transaction();
        transaction.set("t", bad(), SetOptions::default()).unwrap();
        transaction.roll_back();
        let mut attempts = 0;
        let update = view.update("k", None, async |_| {
            attempts += 1;
            if attempts == 1 {
                set(view, "k", text("in between"))?;
            }
            Ok::<_, Error>(bad())
        });
        block_on(update).unwrap();
        assert_eq!((attempts, heard.brief()), (2, found("value", "$.a.token")));

        // Reading, and writing what holds nothing.
        block_on(view.get_all()).unwrap();
        block_on(view.increment("n", json(1.into()), None)).unwrap();
        block_on(view.delete("k")).unwrap();
        set(view, "k", text("fine")).unwrap();
        assert_eq!(heard.take(), []);
    });
}

#[test]
fn a_call_warns_of_each_place_but_not_without_end() {
    let secret = token();
    on_each_engine("warn", |view, heard| {
        set(view, "k", json(serde_json::json!({"a": secret, "b": [secret, {"c": "fine"}, secret]}))).unwrap();
        let places: Vec<_> = heard.take().into_iter().map(|warning| warning.place).collect();
        assert_eq!(places, ["$.a", "$.b[0]", "$.b[2]"]);
        let items = (0..1_000).map(|n| (format!("k{n}"), text(&secret))).collect();
        assert_eq!(block_on(view.set_many(items, None, None)).unwrap(), 1_000);
        assert_eq!(heard.take().len(), 20);
    });
}

#[test]
fn allowing_is_silent() {
    on_each_engine("allow", |view, heard| {
        for (_, secret) in credentials(1) {
            set(view, "k", text(&secret)).unwrap();
            assert_eq!(get(view, "k"), Some(text(&secret)));
        }
        assert_eq!(heard.take(), []);
    });
}

#[test]
fn a_namespace_may_have_a_policy_of_its_own() {
    let secret = token();
    on_each_engine("warn", |view, heard| {
        let vault = view.use_namespace("vault").unwrap().with_secrets_policy(SecretsPolicy::Allow);
        set(&vault, "k", text(&secret)).unwrap();
        assert_eq!(heard.take(), []);
        let strict = view.use_namespace("strict").unwrap().with_secrets_policy(SecretsPolicy::Refuse);
        refused(set(&strict, "k", text(&secret)), "$", "a GitHub token", &secret);
        // Inherited, also by transactions.
        refused(set(&strict.use_namespace("x").unwrap(), "k", text(&secret)), "$", "a GitHub token", &secret);
        let transaction = strict.transaction();
        refused(transaction.set("k", text(&secret), SetOptions::default()), "$", "a GitHub token", &secret);
        // The other views are as they were.
        set(view, "k", text(&secret)).unwrap();
        assert_eq!(heard.take().len(), 1);
    });
}

#[test]
fn the_policy_is_an_option_that_the_url_overrides() {
    let open = |url: &str, policy| {
        let mut options = Options::default();
        options.secrets = policy;
        let store = block_on(Store::open(url, options)).unwrap();
        store.data_store(Identity::new("alice", None).unwrap(), "default").unwrap().secrets_policy()
    };
    assert_eq!(Options::default().secrets, SecretsPolicy::Warn);
    assert_eq!(open("memory:", SecretsPolicy::Refuse), SecretsPolicy::Refuse);
    assert_eq!(open("memory:?secrets=allow", SecretsPolicy::Refuse), SecretsPolicy::Allow);
    assert_eq!(open("memory:?secrets=warn", SecretsPolicy::Refuse), SecretsPolicy::Warn);
    let folder = tempfile::tempdir().unwrap();
    let url = sqlite_url(&folder.path().join("store.db"));
    assert_eq!(open(&format!("{url}?durability=relaxed&secrets=refuse"), SecretsPolicy::Allow), SecretsPolicy::Refuse);
    for url in ["memory:?secrets=never", "memory:?secrets", &format!("{url}?secrets=")] {
        let error = block_on(Store::open(url, Options::default())).expect_err(url);
        assert_eq!((error.kind(), error.operation()), (ErrorKind::InvalidArgument, Some("open")), "{url}");
        assert!(error.message().contains("secrets="), "{error}");
    }
}

#[test]
fn tasks_that_were_let_in_go_their_way() {
    let secret = token();
    on_each_engine("refuse", |view, _| {
        let lenient = view.clone().with_secrets_policy(SecretsPolicy::Allow);
        for key in ["a", "b", "c"] {
            set(&lenient, key, text(&secret)).unwrap();
        }
        let claim = || {
            let options = ClaimOptions { max_attempts: Some(1), ..ClaimOptions::new(Duration::from_secs(60)) };
            block_on(view.claim("", options)).unwrap()
        };
        block_on(claim().expect("a").fail("no luck", None)).unwrap();
        block_on(claim().expect("b").fail("no luck", Some(Duration::from_micros(1)))).unwrap();
        // Only what a worker adds is looked at.
        let third = loop {
            match claim() {
                Some(claim) if claim.key() == "c" => break claim,
                _ => {}
            }
        };
        refused(block_on(third.clone().complete(Some(text(&secret)))), "$", "a GitHub token", &secret);
        refused(block_on(third.clone().fail(&format!("401 for {secret}"), None)), "$", "a GitHub token", &secret);
        block_on(third.complete(Some(text("fine")))).unwrap();
        assert!(claim().is_none());
        let tasks = block_on(view.tasks("")).unwrap();
        let failed: Vec<_> = tasks.failed.iter().map(|task| (&*task.key, task.error.as_deref())).collect();
        assert_eq!(failed, [("a", Some("no luck")), ("b", Some("no luck"))]);
        assert_eq!((tasks.waiting, tasks.claimed.len(), tasks.done), (0, 0, 1));
    });
    on_each_engine("warn", |view, heard| {
        set(view, "a", text(&secret)).unwrap();
        assert_eq!(heard.take().len(), 1);
        let claim = || block_on(view.claim("", ClaimOptions::new(Duration::from_secs(60)))).unwrap().expect("a task");
        block_on(claim().fail(&format!("401 for {secret}"), Some(Duration::ZERO))).unwrap();
        assert_eq!(heard.brief(), [("error", "$".to_owned(), "a GitHub token")]);
        block_on(claim().complete(Some(json(serde_json::json!([secret]))))).unwrap();
        assert_eq!(heard.brief(), [("result", "$[0]".to_owned(), "a GitHub token")]);
    });
}

//! Calls to copy, for `--help`.

pub(super) const SET_USAGE: &str = "\
ads set [OPTIONS] <KEY> <VALUE>
       ads set [OPTIONS] <KEY> --file <FILE>";

pub(super) const EXPIRE_USAGE: &str = "\
ads expire [OPTIONS] <KEY> <TTL>
       ads expire [OPTIONS] <KEY> --never";

pub(super) const TOP_EXAMPLES: &str = "\
Examples:
  ads run agent.py --input '{\"name\": \"Ada\"}'
  ads set greeting '{\"text\": \"hello\"}'
  ads get greeting
  ads namespaces

`ads help COMMAND` or `ads COMMAND --help` tells more, with examples.";

pub(super) const TOP_LONG: &str = "\
Examples:
  ads run agent.py --input '{\"name\": \"Ada\"}'
  ads set greeting '{\"text\": \"hello\"}'
  ads get greeting
  ads namespaces

Exit codes:
  0  success
  1  a negative answer: no such key, no task, nothing in time, not confirmed, a store that is still written while it is
     copied or that has problems; or an agent that failed
  2  something in the call that cannot be: a name, a value, an option, a limit
  3  conflict: the record has another version, or a lease is held or lost
  4  quota exceeded
  5  not authenticated, or not allowed
  6  unavailable: busy, disk full, file or server out of reach
  7  the store is damaged or is not one
  8  a claimed task failed, which has been recorded

A command run under lock gives its own exit code.

Colours appear on a terminal only, and not where NO_COLOR is set.

`ads help COMMAND` or `ads COMMAND --help` tells more, with examples.";

pub(super) const RUN_EXAMPLES: &str = "\
Examples:
  ads run agent.py
  ads run agent.py --input '{\"name\": \"Ada\"}' --trace
  ads run agent.py --input @input.json --user alice --agent reviewer
  curl -s example.org/job.json | ads run agent.py --input -
  ads run agent.py --globals helpers.py --tools '{\"search\": {\"limit\": 10}}'";

pub(super) const GET_EXAMPLES: &str = "\
Examples:
  ads get greeting
  ads get Ada --namespace visits
  ads get settings --default '{}'
  ads get report > report.json
  ads get -- -key-that-starts-with-a-dash";

pub(super) const SET_EXAMPLES: &str = "\
Examples:
  ads set answer 42
  ads set project '{\"status\": \"active\"}' --metadata '{\"source\": \"shell\"}'
  ads set note 'plain text' --string
  ads set report --file report.json --namespace reports
  date | ads set now - --string --ttl 5m
  ads set leader '\"me\"' --if-version 0";

pub(super) const INCREMENT_EXAMPLES: &str = "\
Examples:
  ads increment visits
  ads increment stock:apples -3
  ads increment requests:alice --ttl 1h";

pub(super) const APPEND_EXAMPLES: &str = "\
Examples:
  ads append events '{\"type\": \"login\"}'
  ads append seen https://example.org/ --string --unique
  ads append recent 17 18 19 --max-length 100
  ads append temperatures -3.5";

pub(super) const MERGE_EXAMPLES: &str = "\
Examples:
  ads merge project '{\"status\": \"done\"}'
  ads merge settings '{\"proxy\": null, \"retries\": {\"most\": 3}}'
  ads merge settings - < patch.json";

pub(super) const EXPIRE_EXAMPLES: &str = "\
Examples:
  ads expire session 30m
  ads expire session --never";

pub(super) const DELETE_EXAMPLES: &str = "\
Examples:
  ads delete greeting
  ads delete Ada Grace --namespace visits";

pub(super) const KEYS_EXAMPLES: &str = "\
Examples:
  ads keys
  ads keys project: --namespace work
  ads keys --json | jq length";

pub(super) const NAMESPACES_EXAMPLES: &str = "\
Examples:
  ads namespaces
  ads namespaces repo:
  ads namespaces --json | jq -r '.[].namespace'";

pub(super) const ALL_EXAMPLES: &str = "\
Examples:
  ads all --namespace visits
  ads all project: > projects.json";

pub(super) const CLEAR_EXAMPLES: &str = "\
Examples:
  ads clear --namespace scratch
  ads clear --namespace scratch --yes";

pub(super) const RECORD_EXAMPLES: &str = "\
Examples:
  ads record greeting
  ads record Ada --namespace visits --json | jq .version";

pub(super) const STATS_EXAMPLES: &str = "\
Examples:
  ads stats
  ads stats --user alice --json";

pub(super) const LOCK_EXAMPLES: &str = "\
Examples:
  ads lock deploy -- ./deploy.sh
  ads lock report --wait 10m --agent nightly -- python make_report.py
  ads lock index --ttl 30s --wait forever -- sh -c 'upload --fence \"$ADS_LEASE_TOKEN\"'
  ads get lock:deploy";

pub(super) const TASKS_EXAMPLES: &str = "\
Examples:
  ads tasks
  ads tasks page: --namespace crawl
  ads tasks --json | jq .waiting";

pub(super) const CLAIM_EXAMPLES: &str = "\
Examples:
  ads set page:1 '{\"url\": \"https://example.org/\"}'
  ads claim page: --ttl 5m -- sh -c 'jq -r .url | xargs curl -s | wc -w'
  ads claim page: --ttl 5m --wait forever --retry-in 30s --max-attempts 3 -- ./crawl
  while ads claim page: --ttl 5m -- ./crawl || [ $? -eq 8 ]; do :; done
  ads get page:1 --namespace tasks-done:default";

pub(super) const CHANGES_EXAMPLES: &str = "\
Examples:
  ads changes
  ads changes page: --since 1200 --limit 100
  ads changes --follow
  ads changes --follow --json | jq -r .key";

pub(super) const WAIT_EXAMPLES: &str = "\
Examples:
  ads wait report --timeout 5m
  ads wait go && echo go
  ads wait report --since-version \"$(ads record report --json | jq .version)\" --json";

pub(super) const SERVE_EXAMPLES: &str = "\
Examples:
  ads serve
  ads serve --store sqlite:///var/lib/ads/store.db --listen 127.0.0.1:9000
  ads serve --config /etc/ads.toml --listen 0.0.0.0:8787 --tls-certificate cert.pem --tls-key key.pem
  ads serve --config /etc/ads.toml --print-config
  curl -s http://127.0.0.1:8787/data-store/namespaces";

pub(super) const MCP_EXAMPLES: &str = "\
Examples:
  ads mcp
  ads mcp --store sqlite:///home/me/notes.db --namespace 'project:*'
  ads mcp --read-only --max-characters 8000
  claude mcp add store -- ads mcp";

pub(super) const COPY_EXAMPLES: &str = "\
Examples:
  ads copy store.db postgresql://ads@db.example/agents
  ads copy sqlite:///var/lib/ads/store.db /srv/store.db
  ads copy postgresql://ads@db.example/agents sqlite:///srv/store.db --json";

pub(super) const VERIFY_EXAMPLES: &str = "\
Examples:
  ads verify store.db
  ads verify store.db --repair
  ads verify postgresql://ads@db.example/agents --json | jq -r '.problems[].kind'";

pub(super) const BACKUP_EXAMPLES: &str = "\
Examples:
  ads backup store.db /backups/2026-01-31.db
  ads backup sqlite:///var/lib/ads/store.db latest.db --overwrite
  ads backup postgresql://ads@db.example/agents agents.db";

pub(super) const RESTORE_EXAMPLES: &str = "\
Examples:
  ads restore /backups/2026-01-31.db store.db
  ads restore latest.db sqlite:///var/lib/ads/store.db --overwrite
  ads restore agents.db postgresql://ads@db.example/agents";

pub(super) const TOKEN_EXAMPLES: &str = "\
Examples:
  ads token create --user alice --write
  ads token list
  ads token revoke 0123456789abcdef";

pub(super) const TOKEN_CREATE_EXAMPLES: &str = "\
Examples:
  ads token create --user alice --write --expires 30d
  ads token create --user alice --agent reader --namespace 'project:*' --read-only
  ads token create --admin > admin.token";

pub(super) const TOKEN_LIST_EXAMPLES: &str = "\
Examples:
  ads token list
  ads token list --json | jq -r '.[] | select(.state == \"valid\") | .id'";

pub(super) const TOKEN_REVOKE_EXAMPLES: &str = "\
Examples:
  ads token revoke 0123456789abcdef";

pub(super) const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  ads completions bash > ~/.local/share/bash-completion/completions/ads
  ads completions zsh > \"${fpath[1]}/_ads\"
  ads completions fish > ~/.config/fish/completions/ads.fish";

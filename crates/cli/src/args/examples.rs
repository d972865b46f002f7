//! Calls to copy, for `--help`.

pub(super) const SET_USAGE: &str = "\
ads set [OPTIONS] <KEY> <VALUE>
       ads set [OPTIONS] <KEY> --file <FILE>";

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
  1  a negative answer: no such key, not confirmed; or an agent that failed
  2  something in the call that cannot be: a name, a value, an option, a limit
  3  conflict: the record has another version, or a lease is held
  4  quota exceeded
  5  not authenticated, or not allowed
  6  unavailable: busy, disk full, file or server out of reach
  7  the store is damaged or is not one

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

pub(super) const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  ads completions bash > ~/.local/share/bash-completion/completions/ads
  ads completions zsh > \"${fpath[1]}/_ads\"
  ads completions fish > ~/.config/fish/completions/ads.fish";

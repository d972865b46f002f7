//! What `serve` takes.

use std::path::PathBuf;

use clap::{Args, ValueHint};

/// Every setting as a text, for whoever reads settings; see `agent_data_store_server::Config`.
#[derive(Args, Debug)]
#[command(next_help_heading = "Settings, each also a variable such as ADS_LISTEN and a key such as listen in the file")]
pub(crate) struct ServeArgs {
    /// Read settings from this TOML file [env: ADS_CONFIG]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Options")]
    pub(crate) config: Option<PathBuf>,

    /// Print the settings in force as TOML, without secrets, and serve nothing
    #[arg(long, help_heading = "Options")]
    pub(crate) print_config: bool,

    /// Where to listen; with port 0 the system chooses one [default: 127.0.0.1:8787]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,

    /// Serve /metrics here, to everyone who can connect [default: at the same place as all else, for admins]
    #[arg(long, value_name = "ADDRESS:PORT")]
    metrics_listen: Option<String>,

    /// The certificate and its chain as PEM, for TLS; read again when it changes
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    tls_certificate: Option<String>,

    /// The certificate's private key as PEM
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    tls_key: Option<String>,

    /// Largest body of a request [default: 64MiB]
    #[arg(long, value_name = "SIZE")]
    body_bytes: Option<String>,

    /// How much of all bodies is held in memory at a time [default: 1GiB]
    #[arg(long, value_name = "SIZE")]
    body_memory: Option<String>,

    /// Largest head of a request [default: 32KiB]
    #[arg(long, value_name = "SIZE")]
    header_bytes: Option<String>,

    /// Most headers of a request [default: 64]
    #[arg(long, value_name = "N")]
    header_count: Option<String>,

    /// How long a request's head may take [default: 10s]
    #[arg(long, value_name = "TIME")]
    header_timeout: Option<String>,

    /// How long a request's body may take, and then the work on it [default: 30s]
    #[arg(long, value_name = "TIME")]
    request_timeout: Option<String>,

    /// How long a connection may be open without a request [default: 2m]
    #[arg(long, value_name = "TIME")]
    idle_timeout: Option<String>,

    /// Most open connections [default: 20000]
    #[arg(long, value_name = "N")]
    connections: Option<String>,

    /// Most requests of one user at a time, or none for no limit [default: 1000]
    #[arg(long, value_name = "N")]
    user_requests: Option<String>,

    /// Most requests of one token in a second [default: none]
    #[arg(long, value_name = "N")]
    token_rate: Option<String>,

    /// Most requests of one token at once, where there is a rate [default: twice the rate]
    #[arg(long, value_name = "N")]
    token_burst: Option<String>,

    /// Most live records of a user; the file may say otherwise for single ones [default: none]
    #[arg(long, value_name = "N")]
    quota_records: Option<String>,

    /// Most bytes of a user's live records; the file may say otherwise for single ones [default: none]
    #[arg(long, value_name = "SIZE")]
    quota_bytes: Option<String>,

    /// Whose pages may use the store from a browser, separated by commas [default: nobody's]
    #[arg(long, value_name = "ORIGINS")]
    cors_origins: Option<String>,

    /// How long one request may wait for a change, a lock or a task [default: 1m]
    #[arg(long, value_name = "TIME")]
    longest_wait: Option<String>,

    /// Longest answer to a client of the Model Context Protocol at /mcp, in characters [default: 20000]
    #[arg(long, value_name = "N")]
    mcp_characters: Option<String>,

    /// How often a stream of events shows that it is alive [default: 15s]
    #[arg(long, value_name = "TIME")]
    heartbeat: Option<String>,

    /// How long a shutdown waits for requests in flight [default: 30s]
    #[arg(long, value_name = "TIME")]
    shutdown_grace: Option<String>,

    /// How lines of the log look: text or json [default: text]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,

    /// What is logged: error, warn, info or debug [default: info]
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
}

impl ServeArgs {
    /// The settings that are given, by name.
    pub(crate) fn settings(&self) -> impl Iterator<Item = (&'static str, String)> {
        [
            ("listen", &self.listen),
            ("metrics_listen", &self.metrics_listen),
            ("tls_certificate", &self.tls_certificate),
            ("tls_key", &self.tls_key),
            ("body_bytes", &self.body_bytes),
            ("body_memory", &self.body_memory),
            ("header_bytes", &self.header_bytes),
            ("header_count", &self.header_count),
            ("header_timeout", &self.header_timeout),
            ("request_timeout", &self.request_timeout),
            ("idle_timeout", &self.idle_timeout),
            ("connections", &self.connections),
            ("user_requests", &self.user_requests),
            ("token_rate", &self.token_rate),
            ("token_burst", &self.token_burst),
            ("quota_records", &self.quota_records),
            ("quota_bytes", &self.quota_bytes),
            ("cors_origins", &self.cors_origins),
            ("longest_wait", &self.longest_wait),
            ("mcp_characters", &self.mcp_characters),
            ("heartbeat", &self.heartbeat),
            ("shutdown_grace", &self.shutdown_grace),
            ("log_format", &self.log_format),
            ("log_level", &self.log_level),
        ]
        .into_iter()
        .filter_map(|(name, text)| Some((name, text.clone()?)))
    }
}

#[cfg(test)]
mod tests {
    use agent_data_store_server::Config;
    use clap::{CommandFactory, Parser};

    use crate::args::{Cli, Command};

    #[test]
    fn every_setting_has_a_flag_that_sets_it() {
        for name in Config::names() {
            let flag = format!("--{}", name.replace('_', "-"));
            let cli = Cli::try_parse_from(["ads", "serve", &flag, "text"]).expect("a flag");
            let Command::Serve(args) = &cli.command else { panic!("serve") };
            // That of every command.
            if name != "store" {
                assert_eq!(args.settings().collect::<Vec<_>>().len(), 1, "{name}");
                assert_eq!(args.settings().next().map(|(name, _)| name), Some(&*name));
            }
        }
        let mut cli = Cli::command();
        let serve = cli.find_subcommand_mut("serve").expect("serve");
        let flags = serve.get_arguments().filter(|arg| !arg.is_global_set()).count();
        // But for the store, config and print-config.
        assert_eq!(flags, Config::names().len() - 1 + 2);
    }
}

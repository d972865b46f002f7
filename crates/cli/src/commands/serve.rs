//! Serving the store over HTTP until a signal comes.

use std::io;

use agent_data_store::wire::Object;
use agent_data_store::{Error, ErrorKind, default_url};
use agent_data_store_server::{Config, LogFormat, LogLevel, Running, Server, Tokens};
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::{Session, Sweep};
use crate::args::ServeArgs;
use crate::failure::{Failure, Result};
use crate::log::Log;
use crate::output::Output;
use crate::settings::variable_text;

const USUAL_PORT: u16 = 8787;

impl Session {
    pub(super) fn serve(&self, args: &ServeArgs, out: &mut Output) -> Result {
        let config = self.config(args)?;
        if args.print_config {
            match out.is_json() {
                true => out.value(&config.to_json())?,
                false => out.text(&config.to_toml())?,
            }
            return out.flush();
        }
        let log = Log::start().map_err(|source| refused("threads", source))?;
        log_to(log, &config);
        allow_open_files();
        let runtime = tokio::runtime::Runtime::new().map_err(|source| refused("threads", source))?;
        let store = config.store.clone().map_or_else(|| self.settings.store_url(), Ok)?;
        let session = Self { settings: self.settings.at(store), limits: self.limits.clone() };
        session.with(Sweep::Meanwhile, |store, _| {
            runtime.block_on(async {
                // First, so that none is missed once somebody knows that we serve.
                let mut signals = Signals::new().map_err(|source| refused("signals", source))?;
                let running = Server::bind(store, config.server.clone()).await?;
                tell(&running, &config, out).await?;
                signals.next().await;
                note(&config, out, "stopping");
                Ok(running.shutdown().await?)
            })
        })
    }

    /// The settings in force.
    fn config(&self, args: &ServeArgs) -> Result<Config> {
        let mut config = Config::default();
        config.server.listen.set_port(USUAL_PORT);
        let path = match &args.config {
            Some(path) => Some(path.clone()),
            None => variable_text("ADS_CONFIG")?.map(Into::into),
        };
        let file = path
            .map(|path| {
                std::fs::read_to_string(&path)
                    .map_err(|source| Failure::invalid(format!("cannot read {}: {source}", path.display())))
            })
            .transpose()?;
        let variable = |name: &str| match (name, variable_text(name)?) {
            ("ADS_STORE", None) => variable_text("AGENT_DATA_STORE_URL"),
            (_, text) => Ok(text),
        };
        let store = self.settings.given_store().map(|store| ("store", store.to_owned()));
        let mut config = config.layered(file.as_deref(), variable, args.settings().chain(store))?;
        if config.store.is_none() {
            config.store = Some(default_url()?);
        }
        Ok(config)
    }
}

/// Says where the store is served, and what to know about it.
async fn tell(running: &Running, config: &Config, out: &mut Output) -> Result {
    let url = running.url();
    note(config, out, &format!("serving {url}"));
    if let Some(address) = running.metrics_addr() {
        note(config, out, &format!("serving metrics at http://{address}/metrics"));
    }
    if !Tokens::of(running.store())?.are_required().await? {
        note(
            config,
            out,
            "the store holds no token: everyone on this machine may do everything, until you make one with \
             `ads token create`",
        );
    }
    if out.is_json() {
        let metrics = running.metrics_addr().map(|address| format!("http://{address}/metrics"));
        out.value(&Object::with_capacity(128).text("url", &*url).text("metrics", metrics.as_deref()).end())?;
        out.flush()?;
    }
    Ok(())
}

/// Among lines of the log that programs read it is one of them.
fn note(config: &Config, out: &Output, text: &str) {
    match config.log_format {
        LogFormat::Json => tracing::info!("{text}"),
        LogFormat::Text => out.note(&format!("ads: {text}")),
    }
}

/// Sends what is logged to `log`. Where somebody logs already, as in a program around this one, it goes there.
fn log_to(log: &'static Log, config: &Config) {
    let level = match config.log_level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    let lines = tracing_subscriber::fmt().with_max_level(level).with_writer(|| log.line()).with_ansi(false);
    match config.log_format {
        LogFormat::Text => quiet(lines.with_target(false).finish()),
        LogFormat::Json => quiet(lines.json().flatten_event(true).with_target(false).finish()),
    }
}

/// Logs from now on, but for what the protocol's library says of each message: that shows values.
pub(super) fn quiet(lines: impl Subscriber + Send + Sync + 'static) {
    let library = Targets::new().with_default(LevelFilter::TRACE).with_target("rmcp", LevelFilter::ERROR);
    // Where somebody logs already, that is where it goes.
    let _ = lines.with(library).try_init();
}

/// A connection is an open file, and the usual limit is made for programs with few.
fn allow_open_files() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        if current != maximum {
            // Where the system refuses, fewer clients can connect.
            let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
        }
    }
}

pub(super) fn refused(what: &str, source: io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, format!("the system refuses {what} for serving: {source}")).caused_by(source)
}

/// Those by which people and their tools ask a process to end.
#[cfg(unix)]
pub(super) struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(not(unix))]
pub(super) struct Signals(tokio::signal::windows::CtrlC);

#[cfg(not(unix))]
impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        tokio::signal::windows::ctrl_c().map(Self)
    }

    pub(super) async fn next(&mut self) {
        let _ = self.0.recv().await;
    }
}

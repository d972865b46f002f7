//! From a URL to an engine.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use percent_encoding::percent_decode_str;

use crate::engine::Engine;
use crate::engines::memory::MemoryEngine;
use crate::engines::sqlite::{Durability, SqliteEngine, SqliteOptions};
use crate::error::{Error, Result};
use crate::secrets::SecretsPolicy;
use crate::store::Options;

/// What to write instead of a URL that cannot be, in one sentence.
fn forms() -> String {
    let mut forms = "use sqlite:///absolute/path.db or memory:".to_owned();
    if cfg!(feature = "postgres") {
        forms.push_str(", postgresql://user:password@host:port/database for a database");
    }
    if cfg!(feature = "remote") {
        forms.push_str(", http://host:port for a server");
    }
    forms
}

/// The URL that is used where none is given: `AGENT_DATA_STORE_URL`, else one SQLite file in the platform's data folder,
/// which is created if need be.
///
/// # Errors
/// `InvalidArgument` where the platform has no data folder, `Unavailable` where it cannot be created.
pub fn default_url() -> Result<String> {
    if let Some(url) = std::env::var("AGENT_DATA_STORE_URL").ok().filter(|url| !url.is_empty()) {
        return Ok(url);
    }
    let folders = directories::ProjectDirs::from("", "", "agent-data-store").ok_or_else(|| {
        Error::invalid("no home folder to keep a store in: set HOME or AGENT_DATA_STORE_URL, or give a store URL")
    })?;
    let folder = folders.data_dir();
    create_private_folder(folder).map_err(|source| {
        Error::unavailable(format!("cannot create the folder {}: {source}", folder.display())).caused_by(source)
    })?;
    Ok(sqlite_url(&folder.join("store.db")))
}

/// The `sqlite:` URL of an absolute path.
pub fn sqlite_url(path: &Path) -> String {
    use percent_encoding::{AsciiSet, CONTROLS, percent_encode};
    const RESERVED: &AsciiSet = &CONTROLS.add(b' ').add(b'%').add(b'?').add(b'#');
    format!("sqlite://{}", percent_encode(path.as_os_str().as_encoded_bytes(), RESERVED))
}

/// The path in a `sqlite:` URL; `None` for URLs of other engines and those that cannot be opened.
pub fn sqlite_path(url: &str) -> Option<PathBuf> {
    let (url, _) = split_secrets(url).ok()?;
    let (path, _) = parse_sqlite(url.strip_prefix("sqlite:")?).ok()?;
    Some(path)
}

#[cfg(unix)]
fn create_private_folder(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(not(unix))]
fn create_private_folder(folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)
}

/// Takes the parameter `secrets`, which is the store's, out of what is the engine's.
pub(crate) fn split_secrets(url: &str) -> Result<(Cow<'_, str>, Option<SecretsPolicy>)> {
    let Some((address, query)) = url.split_once('?') else { return Ok((Cow::Borrowed(url), None)) };
    let mut policy = None;
    let mut others = Vec::new();
    for parameter in query.split('&') {
        match parameter.strip_prefix("secrets=") {
            Some(name) => policy = Some(name.parse()?),
            None => others.push(parameter),
        }
    }
    let address = match (policy, others.is_empty()) {
        (None, _) => Cow::Borrowed(url),
        (Some(_), true) => Cow::Borrowed(address),
        (Some(_), false) => Cow::Owned(format!("{address}?{}", others.join("&"))),
    };
    Ok((address, policy))
}

pub(crate) async fn open_engine(url: &str, options: &Options) -> Result<Arc<dyn Engine>> {
    // A URL may carry a password: messages show its scheme alone.
    let (scheme, rest) =
        url.split_once(':').ok_or_else(|| Error::invalid(format!("store URL has no scheme: {}", forms())))?;
    match scheme {
        "memory" if rest.is_empty() => Ok(Arc::new(MemoryEngine::new(options))),
        "sqlite" => {
            let (path, sqlite_options) = parse_sqlite(rest)?;
            Ok(Arc::new(SqliteEngine::open(&path, &sqlite_options, options)?))
        }
        #[cfg(feature = "remote")]
        "http" | "https" => Ok(Arc::new(crate::engines::remote::RemoteEngine::open(url, options)?)),
        #[cfg(feature = "postgres")]
        "postgresql" | "postgres" => Ok(Arc::new(crate::engines::postgres::PostgresEngine::open(url, options).await?)),
        "memory" => Err(Error::invalid("store URL memory: takes nothing after the colon but ?secrets=…")),
        _ => Err(Error::invalid(format!("store URL scheme {scheme:?} is not known: {}", forms()))),
    }
}

fn parse_sqlite(rest: &str) -> Result<(PathBuf, SqliteOptions)> {
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let path = path.strip_prefix("//").filter(|path| path.starts_with('/') && path.len() > 1).ok_or_else(|| {
        Error::invalid("sqlite URL needs an absolute path with three slashes: sqlite:///absolute/path.db")
    })?;
    let path = percent_decode_str(path)
        .decode_utf8()
        .map_err(|_| Error::invalid("sqlite URL path is not UTF-8 after percent-decoding: rename the file"))?;
    let mut options = SqliteOptions::default();
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        match parameter.split_once('=') {
            Some(("durability", "full")) => options.durability = Durability::Full,
            Some(("durability", "relaxed")) => options.durability = Durability::Relaxed,
            Some(("cache_bytes", bytes)) if bytes.parse::<usize>().is_ok() => {
                options.cache_bytes = bytes.parse().unwrap_or_default();
            }
            _ => {
                return Err(Error::invalid(format!(
                    "sqlite URL parameter {parameter:?} is not known: use durability=full, durability=relaxed, \
                     cache_bytes=NUMBER (0 for no cache), secrets=allow, secrets=warn or secrets=refuse"
                )));
            }
        }
    }
    Ok((PathBuf::from(path.as_ref()), options))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block_on;

    #[test]
    fn a_path_survives_the_url() {
        for path in ["/tmp/a b.db", "/x/50%?#.db", "/ü/…/데이터.db"] {
            let url = sqlite_url(Path::new(path));
            assert_eq!(sqlite_path(&url).as_deref(), Some(Path::new(path)));
            assert_eq!(
                sqlite_path(&format!("{url}?secrets=warn&durability=relaxed")).as_deref(),
                Some(Path::new(path))
            );
        }
        for url in ["memory:", "sqlite:///", "sqlite:x.db", "postgresql://host/x.db"] {
            assert_eq!(sqlite_path(url), None, "{url}");
        }
    }

    #[test]
    fn the_policy_for_secrets_leaves_the_rest_of_the_url() {
        use SecretsPolicy::{Allow, Refuse, Warn};
        for (url, rest, policy) in [
            ("memory:", "memory:", None),
            ("memory:?secrets=refuse", "memory:", Some(Refuse)),
            ("sqlite:///x?durability=full", "sqlite:///x?durability=full", None),
            ("sqlite:///x?secrets=warn&durability=full", "sqlite:///x?durability=full", Some(Warn)),
            ("sqlite:///x?a=1&secrets=allow&b=2", "sqlite:///x?a=1&b=2", Some(Allow)),
        ] {
            assert_eq!(split_secrets(url).expect(url), (Cow::Borrowed(rest), policy), "{url}");
        }
        for url in ["memory:?secrets=", "memory:?secrets=no", "memory:?secrets=allow&secrets=Refuse"] {
            assert!(split_secrets(url).expect_err(url).message().contains("secrets=allow, warn or refuse"), "{url}");
        }
    }

    #[test]
    fn urls_that_cannot_be_opened_say_what_to_write() {
        for url in [
            "",
            "store.db",
            "sqlite:store.db",
            "sqlite://store.db",
            "sqlite:///",
            "sqlite:///x.db?sync=1",
            "memory:x",
            "mysql://user:hunter2@host/db",
        ] {
            let error = block_on(open_engine(url, &Options::default())).expect_err(url);
            assert_eq!(error.kind(), crate::ErrorKind::InvalidArgument, "{url}");
            assert!(!error.message().contains("hunter2"), "{url}");
        }
    }
}

//! Who is calling: settled before any handler runs.

use std::sync::Arc;

use agent_data_store::{DataStore, Error, ErrorKind, Identity, Quota, RequestId, Result};
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use percent_encoding::percent_decode_str;
use tokio::time::timeout;

use crate::admission::hold_until_sent;
use crate::app::App;
use crate::auth::{Permit, permit, unauthenticated};
use crate::error::Failure;

const USER: &str = "x-user-id";
const AGENT: &str = "x-agent-name";
const REQUEST: &str = "idempotency-key";

/// The start of a name that is percent-encoded, as RFC 8187 writes those that a header cannot hold as they are.
const ENCODED: &str = "UTF-8''";

/// Verbs that concern no single namespace need a view all the same.
const ANY_NAMESPACE: &str = "default";

/// Who is calling, and what they may reach. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Caller(Arc<Call>);

#[derive(Debug)]
struct Call {
    app: App,
    permit: Permit,
    identity: Identity,
    /// The name of this request, if it is not to be applied twice.
    request: Option<RequestId>,
    /// Whether what is read is sent, and so counts as read.
    sends_body: bool,
}

impl Caller {
    pub(crate) fn identity(&self) -> &Identity {
        &self.0.identity
    }

    pub(crate) fn permit(&self) -> &Permit {
        &self.0.permit
    }

    /// Whoever started this process.
    pub(crate) fn of_process(app: App, permit: Permit, identity: Identity) -> Self {
        Self(Arc::new(Call { app, permit, identity, request: None, sends_body: true }))
    }

    /// The same caller under the name of an agent.
    ///
    /// # Errors
    /// `InvalidArgument` for a name outside of the limits.
    pub(crate) fn as_agent(&self, agent: &str) -> Result<Self> {
        let Call { app, permit, identity, request, sends_body } = &*self.0;
        let identity = Identity::new(identity.user(), Some(agent))?;
        let (app, permit, request) = (app.clone(), permit.clone(), request.clone());
        Ok(Self(Arc::new(Call { app, permit, identity, request, sends_body: *sends_body })))
    }

    /// Whether the token still is what it was, and where there was none, whether none is needed still: for those who go on
    /// for long after their request.
    ///
    /// # Errors
    /// `Unauthenticated` where it is not.
    pub(crate) async fn check_still_valid(&self) -> Result<()> {
        let tokens = self.0.app.tokens();
        match &self.0.permit {
            Permit::Token(token) => tokens.check_still_valid(token).await,
            Permit::Everything if tokens.are_required().await? => {
                Err(unauthenticated("the store has a token by now: show one"))
            }
            Permit::Everything | Permit::Given { .. } => Ok(()),
        }
    }

    /// What all requests share.
    pub(crate) fn app(&self) -> &App {
        &self.0.app
    }

    /// Whether a read by this call counts, unless the caller has said so.
    pub(crate) fn counts(&self, asked: Option<bool>) -> bool {
        self.0.sends_body && asked.unwrap_or(true)
    }

    /// A view for reading a namespace.
    pub(crate) fn reader(&self, namespace: &str) -> Result<DataStore> {
        self.0.permit.check_read(namespace)?;
        self.view(namespace)
    }

    /// A view for one write to a namespace.
    pub(crate) fn writer(&self, namespace: &str) -> Result<DataStore> {
        self.0.permit.check_write(namespace)?;
        Ok(self.named(self.view(namespace)?))
    }

    /// A view for what takes several steps, which cannot be told from another time.
    pub(crate) fn worker(&self, namespace: &str) -> Result<DataStore, Failure> {
        self.0.permit.check_write(namespace)?;
        self.unnamed()?;
        Ok(self.view(namespace)?.with_quota(self.quota()))
    }

    /// A view for counting reads in these namespaces, which needs no more than reading does.
    pub(crate) fn counter<'a>(&self, namespaces: impl IntoIterator<Item = &'a str>) -> Result<DataStore, Failure> {
        let view = self.reader_of(namespaces)?;
        self.unnamed()?;
        Ok(view)
    }

    fn named(&self, view: DataStore) -> DataStore {
        let view = view.with_quota(self.quota());
        match &self.0.request {
            Some(request) => view.with_request(request.clone()),
            None => view,
        }
    }

    fn unnamed(&self) -> Result<(), Failure> {
        match &self.0.request {
            Some(_) => Err(Failure::invalid("Idempotency-Key does not go with this route: leave it out")),
            None => Ok(()),
        }
    }

    /// Whether this request is not to be applied twice.
    pub(crate) fn is_named(&self) -> bool {
        self.0.request.is_some()
    }

    /// A view for reading what may concern any namespace. It shows more than the caller may see: whoever asks for it shows
    /// on only what [`Permit::sees`].
    pub(crate) fn reader_of_all(&self) -> Result<DataStore> {
        self.view(ANY_NAMESPACE)
    }

    /// A view for reading from these namespaces.
    pub(crate) fn reader_of<'a>(&self, namespaces: impl IntoIterator<Item = &'a str>) -> Result<DataStore> {
        namespaces.into_iter().try_for_each(|namespace| self.0.permit.check_read(namespace))?;
        self.view(ANY_NAMESPACE)
    }

    /// A view for one write to these namespaces.
    pub(crate) fn writer_to<'a>(&self, namespaces: impl IntoIterator<Item = &'a str>) -> Result<DataStore> {
        self.0.permit.check_writes()?;
        namespaces.into_iter().try_for_each(|namespace| self.0.permit.check_read(namespace))?;
        Ok(self.named(self.view(ANY_NAMESPACE)?))
    }

    fn quota(&self) -> Quota {
        self.0.app.options().quota(self.0.identity.user())
    }

    fn view(&self, namespace: &str) -> Result<DataStore> {
        self.0.app.store().data_store(self.0.identity.clone(), namespace)
    }
}

/// Finds out who is calling, for the handler and for the log.
pub(crate) async fn identify(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let sends_body = request.method() != Method::HEAD;
    let caller = match caller(app, sends_body, request.headers()).await {
        Ok(caller) => caller,
        Err(failure) => return failure.into_response(),
    };
    let options = caller.0.app.options();
    // A body, what it asks to wait, and the work on it.
    let longest = options.request_timeout.saturating_mul(2).saturating_add(options.longest_wait);
    let admitted = match caller.0.app.admission().admit(caller.identity().user(), caller.0.permit.token()) {
        Ok(admitted) => admitted,
        Err(failure) => return told_by(caller, failure.into_response()),
    };
    request.extensions_mut().insert(caller.clone());
    let response = match timeout(longest, next.run(request)).await {
        Ok(response) => hold_until_sent(admitted, caller.0.app.memory(), response).await,
        Err(_) => Failure::Store(too_long()).into_response(),
    };
    told_by(caller, response)
}

/// The answer, with who has asked for it, for the log.
fn told_by(caller: Caller, mut response: Response) -> Response {
    response.extensions_mut().insert(caller);
    response
}

fn too_long() -> Error {
    let message = "the request took too long: read what it was to change before you try again";
    Error::new(ErrorKind::Unavailable, message)
}

async fn caller(app: App, sends_body: bool, headers: &HeaderMap) -> Result<Caller, Failure> {
    // First: who shows no token learns nothing else.
    let permit = permit(app.tokens(), app.is_open(), headers).await?;
    let user = name(headers, USER)?;
    let agent = name(headers, AGENT)?;
    let identity = permit.identity(user.as_deref(), agent.as_deref())?;
    let request = name(headers, REQUEST)?.map(|id| RequestId::new(&id)).transpose()?;
    Ok(Caller(Arc::new(Call { app, permit, identity, request, sends_body })))
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let unknown =
            || Failure::request(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", "nobody has asked who is calling");
        parts.extensions.get::<Self>().cloned().ok_or_else(unknown)
    }
}

/// The name in a header: as it is, or percent-encoded after [`ENCODED`].
fn name(headers: &HeaderMap, header: &'static str) -> Result<Option<String>, Failure> {
    let mut values = headers.get_all(header).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Failure::invalid(format!("{header} is given more than once: give it once")));
    }
    let text = std::str::from_utf8(value.as_bytes()).ok().and_then(|text| match text.strip_prefix(ENCODED) {
        Some(encoded) => percent_decode_str(encoded).decode_utf8().ok().map(String::from),
        None => Some(text.to_owned()),
    });
    let wrong = || Failure::invalid(format!("{header} is not UTF-8: write {ENCODED} and the name percent-encoded"));
    text.map(Some).ok_or_else(wrong)
}

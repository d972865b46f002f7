//! The one handler of both transports: who calls is found out first, then the request goes to whom it concerns.

use agent_data_store::limits::check_agent;
use axum::http::request::Parts;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, CompleteRequestParams, CompleteResult, ContentBlock,
    Extensions, Implementation, ListResourceTemplatesResult, ListResourcesResult, ListToolsResult,
    PaginatedRequestParams, ReadResourceRequestParams, ReadResourceResponse, ServerCapabilities, ServerConfig,
    SubscribeRequestParams, SubscriptionFilter, UnsubscribeRequestParams,
};
use rmcp::service::{RequestContext, SubscriptionContext};
use rmcp::{ErrorData, RoleServer, ServerHandler};

use super::arguments::{Arguments, Message, invalid};
use super::errors::{protocol_error, refusal};
use super::schema::Described;
use super::subscriptions::{Listener, Subscriptions, Watch};
use super::tools::{self, Call, TOOLS};
use super::{Position, resources};
use crate::caller::Caller;
use crate::error::shortened;

/// Who calls where the client has no name that could be an agent's.
const NAMELESS: &str = "mcp";
/// Longest name of an agent, in bytes.
const AGENT_BYTES: usize = 256;

/// Answers one client.
#[derive(Debug)]
pub(super) struct Handler {
    door: Door,
    /// The namespace where none is named.
    namespace: String,
    /// Most characters of an answer.
    bound: usize,
    /// Those that the client has asked for one by one.
    subscriptions: Subscriptions,
}

/// By which way requests come.
#[derive(Debug)]
pub(super) enum Door {
    /// Each with its own caller, who was found out before.
    Http,
    /// All from the one who has started this process.
    Stdio(Caller),
}

impl Handler {
    pub(super) fn new(door: Door, namespace: String, bound: usize) -> Self {
        Self { door, namespace, bound, subscriptions: Subscriptions::default() }
    }

    /// Who calls. An agent who has no other name has the client's.
    fn caller(&self, context: &RequestContext<RoleServer>) -> Result<Caller, ErrorData> {
        let caller = match &self.door {
            Door::Stdio(caller) => caller.clone(),
            Door::Http => brought(&context.extensions)
                .ok_or_else(|| ErrorData::internal_error("nobody has asked who is calling", None))?,
        };
        if caller.identity().agent().is_some() {
            return Ok(caller);
        }
        let name = context.client_info().map(|client| client.name).unwrap_or_default();
        caller.as_agent(&agent_name(&name)).map_err(|error| protocol_error(&error))
    }

    async fn call(&self, request: &CallToolRequestParams, context: &RequestContext<RoleServer>) -> Answer {
        let caller = self.caller(context)?;
        let Some(tool) = tools::named(&request.name) else {
            let names: Vec<&str> = TOOLS.iter().map(|tool| tool.name).collect();
            let message = format!("there is no tool {:?}: the tools are {}", request.name, names.join(", "));
            return Err(ErrorData::invalid_params(shortened(message), None));
        };
        let message: Message =
            brought(&context.extensions).ok_or_else(|| ErrorData::internal_error("the message is lost", None))?;
        let answer = async {
            let arguments = Arguments::read(&message, tool.arguments, &self.namespace)?;
            let cancelled = context.ct.clone();
            tools::run(tool, &Call { caller: &caller, arguments, bound: self.bound, cancelled }).await
        };
        Ok(match answer.await {
            Ok(text) => CallToolResult::success(vec![ContentBlock::text(text)]),
            Err(error) => refusal(&error),
        })
    }
}

type Answer = Result<CallToolResult, ErrorData>;

/// What came with a request: directly, or with the HTTP request that has brought it.
fn brought<T: Clone + Send + Sync + 'static>(extensions: &Extensions) -> Option<T> {
    let with_http = || extensions.get::<Parts>().and_then(|parts| parts.extensions.get::<T>());
    extensions.get::<T>().or_else(with_http).cloned()
}

/// A client's name as that of an agent.
fn agent_name(client: &str) -> String {
    let name: String = client.chars().filter(|character| *character != '\0').collect();
    let name = name.trim();
    let end = (0..=name.len().min(AGENT_BYTES)).rev().find(|end| name.is_char_boundary(*end)).unwrap_or_default();
    let name = &name[..end];
    if check_agent(name).is_ok() { name.to_owned() } else { NAMELESS.to_owned() }
}

impl ServerHandler for Handler {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_resources()
            .enable_resources_subscribe()
            .enable_completions()
            .build();
        let limits = match &self.door {
            Door::Stdio(caller) => caller.permit().told(),
            Door::Http => String::new(),
        };
        let instructions = format!(
            "A persistent JSON store, shared with the other agents of the same user. Keep here what must survive this \
             session: notes, results, plans, and work handed to others. A record is a JSON value under a key in a \
             namespace; without a namespace calls use {:?}. Begin with list_namespaces. Answers have at most {} \
             characters: what is cut is said, and cursor goes on. Every call is atomic, however many agents write at the \
             same time.{limits}",
            self.namespace, self.bound
        );
        let server = Implementation::new("agent-data-store", env!("CARGO_PKG_VERSION")).with_title("Agent Data Store");
        ServerConfig::new(capabilities).with_server_info(server).with_instructions(instructions)
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let writes = self.caller(&context)?.permit().check_writes().is_ok();
        let shown = TOOLS.iter().filter(|tool| writes || tool.reads());
        Ok(ListToolsResult::with_all_items(shown.map(Described::tool).collect()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        self.call(&request, &context).await.map(CallToolResponse::Complete)
    }

    async fn list_resources(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let caller = self.caller(&context)?;
        let cursor = request.and_then(|request| request.cursor);
        resources::list(&caller, cursor.as_deref(), self.bound).await.map_err(|error| protocol_error(&error))
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        Ok(ListResourceTemplatesResult::with_all_items(vec![resources::template()]))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let caller = self.caller(&context)?;
        resources::read(&caller, &request.uri, self.bound).await.map(ReadResourceResponse::Complete)
    }

    async fn complete(
        &self,
        request: CompleteRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        let caller = self.caller(&context)?;
        resources::complete(&caller, &request, self.bound)
            .await
            .map(CompleteResult::new)
            .map_err(|error| protocol_error(&error))
    }

    async fn subscribe(
        &self,
        request: SubscribeRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        let caller = self.caller(&context)?;
        let watch = Watch::begin(caller, std::slice::from_ref(&request.uri), None).await;
        let watch = watch.map_err(|error| protocol_error(&error))?;
        let Some(ended) = self.subscriptions.add(&request.uri).map_err(|error| protocol_error(&error))? else {
            return Ok(());
        };
        let listener = Listener::Session(context.peer);
        tokio::spawn(async move {
            tokio::select! {
                result = watch.run(listener) => told(result),
                () = ended.cancelled() => {}
            }
            ended.cancel();
        });
        Ok(())
    }

    async fn unsubscribe(
        &self,
        request: UnsubscribeRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.subscriptions.remove(&request.uri);
        Ok(())
    }

    fn accepted_subscription_filter(&self, requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        Some(requested.supported_by(&self.get_info().capabilities))
    }

    async fn listen(&self, subscription: SubscriptionContext) -> Result<(), ErrorData> {
        let context = subscription.request_context();
        let caller = self.caller(context)?;
        let uris = subscription.accepted().resource_subscriptions.clone().unwrap_or_default();
        let since = brought::<Position>(&context.extensions).map(|position| position.0);
        let watch = Watch::begin(caller, &uris, since).await.map_err(|error| protocol_error(&error))?;
        let listener = Listener::Request(subscription.sink().clone());
        tokio::select! {
            result = watch.run(listener) => result.map_err(|error| protocol_error(&error)),
            () = subscription.cancelled() => Ok(()),
        }
    }
}

fn told(result: agent_data_store::Result<()>) {
    if let Err(error) = result {
        tracing::warn!(%error, "a subscription has ended");
    }
}

/// The error for a call that the client has taken back.
pub(super) fn cancelled() -> agent_data_store::Error {
    invalid("the call was cancelled")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_s_name_is_made_one_that_an_agent_can_have() {
        let long = "é".repeat(200);
        for (client, agent) in [
            ("claude-code", "claude-code"),
            (" My Client\0 ", "My Client"),
            ("", NAMELESS),
            ("\0 \0", NAMELESS),
            (&long, &long[..256]),
        ] {
            assert_eq!(agent_name(client), agent);
        }
    }
}

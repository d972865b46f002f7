//! The OpenAPI document: what each route says of itself, and what all of them have in common.

use std::sync::LazyLock;

use utoipa::openapi::path::{Operation, ParameterBuilder, ParameterIn};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Content, ObjectBuilder, OpenApi as Description, Ref, Required, Response, ResponseBuilder, Type};
use utoipa::{Modify, OpenApi};

use crate::mcp::http;
use crate::routes::{access, batch, changes, docs, health, locks, metrics, namespaces, read, records, tasks, whoami};

static TEXT: LazyLock<String> = LazyLock::new(|| Document::openapi().to_json().unwrap_or_default());

/// As JSON.
pub(crate) fn text() -> &'static str {
    &TEXT
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Agent Data Store",
        description = "A persistent JSON key-value store for AI agents. Names in paths are percent-encoded; values are any \
                       JSON; times are UTC."
    ),
    paths(
        namespaces::list,
        namespaces::stats,
        namespaces::clear,
        namespaces::count,
        records::list,
        records::get,
        records::put,
        records::change,
        records::delete,
        read::read,
        batch::write,
        access::record,
        changes::changes,
        locks::acquire,
        locks::renew,
        locks::release,
        tasks::summary,
        tasks::claim,
        tasks::renew,
        tasks::complete,
        tasks::fail,
        tasks::release,
        whoami::whoami,
        health::health,
        health::ready,
        metrics::for_admins,
        docs::openapi,
        docs::page,
        http::post,
        http::get,
        http::delete,
    ),
    modifiers(&Common)
)]
struct Document;

/// Those that can be told from another time.
const ONE_WRITE: [&str; 5] = ["put_record", "change_record", "delete_record", "clear_namespace", "write_batch"];
const IDEMPOTENCY_KEY: &str = "A name that the caller gives to this request alone: repeated under it within 24 hours, it is \
                               not applied again, and answers what it answered the first time. Names are the user's, \
                               whichever token shows them; for another request, or another agent's, one is refused";

/// How a caller shows who it is.
const TOKEN: &str = "token";
const TOKEN_DESCRIPTION: &str = "A token made with `ads token create`. A server that only its own machine can reach needs none \
                                 until the store holds one";

/// What all routes to data have in common: who calls, and how they may fail.
struct Common;

impl Modify for Common {
    fn modify(&self, description: &mut Description) {
        // Those without a server of their own are served where this document is.
        description.servers = None;
        let mut token = Http::new(HttpAuthScheme::Bearer);
        token.description = Some(TOKEN_DESCRIPTION.to_owned());
        description.components.get_or_insert_default().add_security_scheme(TOKEN, SecurityScheme::Http(token));
        for (path, item) in &mut description.paths.paths {
            let operations = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete];
            for operation in operations.into_iter().flatten() {
                let concerns_data = path.starts_with("/data-store/");
                if concerns_data || path == "/metrics" || path == "/mcp" {
                    operation.security = Some(vec![SecurityRequirement::new(TOKEN, Vec::<String>::new())]);
                    add_callers(operation);
                    add_failures(operation);
                    if ONE_WRITE.contains(&operation.operation_id.as_deref().unwrap_or_default()) {
                        add_header(operation, "Idempotency-Key", IDEMPOTENCY_KEY);
                    }
                }
            }
        }
    }
}

fn add_callers(operation: &mut Operation) {
    let headers = [
        (
            "X-User-Id",
            "Whose data it is; `default` where nothing is said. As it is, or percent-encoded after `UTF-8''`",
        ),
        ("X-Agent-Name", "Which agent acts for the user: it is recorded, and its reads count"),
    ];
    for (name, description) in headers {
        add_header(operation, name, description);
    }
}

fn add_header(operation: &mut Operation, name: &str, description: &str) {
    let schema = ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).max_length(Some(256));
    let parameter = ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(schema));
    operation.parameters.get_or_insert_default().push(parameter.build().into());
}

fn add_failures(operation: &mut Operation) {
    let mut add = |status: &str, description: &str| {
        operation.responses.responses.entry(status.to_owned()).or_insert_with(|| failure(description).into());
    };
    add("400", "Something in the request cannot be: a name, a value, an option");
    add("401", "No valid token is given, and the store needs one");
    add("403", "The token does not allow this");
    add("408", "The body did not arrive in time");
    add("413", "Something is above a limit, or the answer would be");
    add("429", "Too many requests of this user or this token: wait for `Retry-After`");
    add("500", "The store is damaged, or the server has failed");
    add("503", "The store cannot answer now: try again");
    if operation.request_body.is_some() {
        add("415", "The body is not declared as `application/json`");
        add("507", "The user's quota of records or bytes is used up");
    }
}

fn failure(description: &str) -> Response {
    let content = Content::new(Some(Ref::from_schema_name("Error")));
    ResponseBuilder::new().description(description).content("application/json", content).build()
}

//! The OpenAPI document.

use std::sync::LazyLock;

use utoipa::OpenApi;

static TEXT: LazyLock<String> = LazyLock::new(|| Document::openapi().to_json().unwrap_or_default());

/// As JSON.
pub(crate) fn text() -> &'static str {
    &TEXT
}

#[derive(OpenApi)]
struct Document;

use std::sync::Arc;

use axum::body::Bytes;
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::gate::Guard;
use super::{channels, dashboard, events, sessions, tokens, vhosts};
use crate::control::{Handle, Observer, observe};

/// The frame of the document; paths and schemas come from the handlers.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "WebRocket admin",
        description = "Vhosts, channels, workers and sessions of one WebRocket node.\n\n\
            Accepted requests get the cookie back in the same header. `HEAD` acts as `GET` \
            without a body. What has no route is 404, a wrong method 405; both say so in JSON.",
    ),
    tags(
        (name = "vhosts", description = "Vhosts with their access tokens and workers"),
        (name = "channels", description = "Channels and their subscribers"),
        (name = "sessions", description = "Sessions of frontends"),
        (name = "node", description = "How the node does, and what it counts"),
        (name = "about", description = "This interface itself"),
    ),
    security(("cookie" = [])),
    modifiers(&CookieScheme)
)]
struct Frame;

struct CookieScheme;

impl Modify for CookieScheme {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let key = ApiKeyValue::with_description(
            "X-WebRocket-Cookie",
            "The 40 characters of the file `<node>.cookie` in the node's storage directory.",
        );
        let scheme = SecurityScheme::ApiKey(ApiKey::Header(key));
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme("cookie", scheme);
    }
}

/// All routes: those behind the gate, the one before it, and the document that
/// describes both, as well as what is answered before any route is looked for.
pub(super) fn routes(handle: Handle, observer: Observer, guard: Arc<Guard>) -> (Router, Router) {
    let gated = OpenApiRouter::with_openapi(Frame::openapi())
        .routes(routes!(vhosts::list_vhosts, vhosts::clear_vhosts))
        .routes(routes!(
            vhosts::create_vhost,
            vhosts::show_vhost,
            vhosts::delete_vhost
        ))
        .routes(routes!(vhosts::regenerate_vhost_token))
        .routes(routes!(tokens::issue_token))
        .routes(routes!(vhosts::show_vhost_stats))
        .routes(routes!(vhosts::list_workers))
        .routes(routes!(channels::list_channels, channels::clear_channels))
        .routes(routes!(
            channels::open_channel,
            channels::show_channel,
            channels::close_channel
        ))
        .routes(routes!(channels::list_subscribers))
        .routes(routes!(events::send_channel_event))
        .routes(routes!(sessions::list_sessions))
        .routes(routes!(
            sessions::show_session,
            sessions::disconnect_session
        ))
        .routes(routes!(events::send_session_event))
        .routes(routes!(sessions::disconnect_user))
        .with_state(handle)
        .merge(dashboard::session_routes(guard))
        .merge(observe::routes(observer));
    let (gated, mut document) = gated.split_for_parts();
    let open = OpenApiRouter::new().routes(routes!(describe));
    let (open, rest) = open.split_for_parts();
    document.merge(rest);
    // A document of plain maps and strings always has its JSON.
    let text = Bytes::from(document.to_json().unwrap_or_default());
    (gated, open.layer(Extension(Document(text))))
}

/// The text of the OpenAPI document.
#[derive(Clone)]
struct Document(Bytes);

/// This document
///
/// It holds no secret and needs no cookie.
#[utoipa::path(
    get, path = "/openapi.json", tag = "about", security(()),
    responses((status = 200, description = "An OpenAPI 3.1 document", body = Object))
)]
async fn describe(Extension(document): Extension<Document>) -> Response {
    let json = HeaderValue::from_static("application/json");
    ([(CONTENT_TYPE, json)], document.0).into_response()
}

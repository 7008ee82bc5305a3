use axum::Json;
use axum::extract::{FromRequest, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use utoipa::ToSchema;

use super::answers::{Everywhere, Refusal, TokenAnswer};
use super::body::read_json;
use super::names::{Names, OfVhost};
use crate::control::{Error, Handle};
use crate::hub::envelope::Grant;
use crate::limits::UID_BYTES_MAX;
use crate::model::Permission;

/// Whom a single access token is for.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(title = "Wanted")]
pub(super) struct Wanted {
    /// The user's identifier.
    #[schema(min_length = 1, example = "joe")]
    uid: String,
    /// A regular expression over whole names of channels that the user may
    /// subscribe to.
    #[schema(example = "presence-lobby")]
    permission: String,
}

/// Issues a single access token
///
/// As a backend's request does: it is good for one authentication, for a limited time.
#[utoipa::path(
    post, path = "/{vhost}/single-access-tokens", tag = "vhosts", params(OfVhost),
    request_body = Wanted,
    responses(
        (status = 201, description = "Issued", body = TokenAnswer),
        (status = 400, description = "The body is no such wish", body = Refusal),
        (status = 404, description = "No such vhost", body = Refusal),
        Everywhere
    )
)]
pub(super) async fn issue_token(
    State(handle): State<Handle>,
    names: Names,
    wanted: Wanted,
) -> Result<(StatusCode, Json<TokenAnswer>), Error> {
    let vhost = names.vhost()?;
    if wanted.uid.is_empty() || wanted.uid.len() > UID_BYTES_MAX {
        return Err(Error::InvalidUid);
    }
    if wanted.permission.is_empty() || Permission::compile(&wanted.permission).is_none() {
        return Err(Error::InvalidPermission);
    }
    let grant = Grant {
        uid: wanted.uid.into(),
        pattern: wanted.permission.into(),
    };
    let token = handle.issue_token(vhost, grant).await?.to_string();
    Ok((StatusCode::CREATED, Json(TokenAnswer { token })))
}

impl<S: Send + Sync> FromRequest<S> for Wanted {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        read_json(request, state, "body asks for no token").await
    }
}

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::timeout;
use utoipa::ToSchema;

use super::Observer;
use crate::limits::PROGRESS_TIMEOUT;
use crate::model::ShardId;

/// How a question for the node's health is answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Health {
    Ok,
    /// Control has ended, or does not answer in time.
    ControlStalled,
    /// These shards do not answer in time, in their order.
    ShardsStalled(Vec<ShardId>),
    /// Not every shard knows yet what the store holds.
    Starting,
    /// No new connection is taken.
    Draining,
}

/// Whether control and every shard make progress: each is asked, and has
/// [`PROGRESS_TIMEOUT`] to answer.
pub(super) async fn progress(observer: &Observer) -> Health {
    let mut probes = JoinSet::new();
    for shard in 0..observer.0.shards.len() as ShardId {
        let handle = observer.0.handle.clone();
        probes.spawn(async move {
            let answer = timeout(PROGRESS_TIMEOUT, handle.probe(shard)).await;
            (shard, matches!(answer, Ok(Ok(()))))
        });
    }
    let overview = timeout(PROGRESS_TIMEOUT, observer.0.handle.overview());
    if !matches!(overview.await, Ok(Ok(_))) {
        return Health::ControlStalled;
    }
    let mut stalled: Vec<ShardId> = probes
        .join_all()
        .await
        .into_iter()
        .filter_map(|(shard, answers)| (!answers).then_some(shard))
        .collect();
    stalled.sort_unstable();
    if stalled.is_empty() {
        Health::Ok
    } else {
        Health::ShardsStalled(stalled)
    }
}

/// Whether the node wants connections. Shards listen before admin does, so it
/// only has to know its vhosts and not be on its way out.
pub(super) async fn readiness(observer: &Observer) -> Health {
    match timeout(PROGRESS_TIMEOUT, observer.0.handle.overview()).await {
        Ok(Ok(overview)) if overview.is_draining => Health::Draining,
        Ok(Ok(overview)) if !overview.is_restored => Health::Starting,
        Ok(Ok(_)) => Health::Ok,
        Ok(Err(_)) | Err(_) => Health::ControlStalled,
    }
}

/// How a node does.
#[derive(Serialize, ToSchema)]
pub(super) struct HealthAnswer {
    /// `ok`, `stalled`, `starting` or `draining`.
    status: &'static str,
    /// For people; absent where all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reason: Option<String>,
    /// The shards that do not answer, where there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    shards: Option<Vec<ShardId>>,
}

impl Health {
    fn answer(self) -> HealthAnswer {
        let (status, reason) = match &self {
            Self::Ok => ("ok", None),
            Self::ControlStalled => ("stalled", Some("control does not answer".to_owned())),
            Self::ShardsStalled(shards) => {
                let names: Vec<_> = shards.iter().map(ToString::to_string).collect();
                let reason = format!("no answer from shard {}", names.join(", "));
                ("stalled", Some(reason))
            }
            Self::Starting => {
                let reason = "shards are told what the store holds";
                ("starting", Some(reason.to_owned()))
            }
            Self::Draining => ("draining", Some("the node is stopping".to_owned())),
        };
        let shards = match self {
            Self::ShardsStalled(shards) => Some(shards),
            _ => None,
        };
        HealthAnswer {
            status,
            reason,
            shards,
        }
    }
}

impl IntoResponse for Health {
    fn into_response(self) -> Response {
        let status = match self {
            Self::Ok => StatusCode::OK,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        (status, Json(self.answer())).into_response()
    }
}

//! A part of a list, as it is answered.

use serde::Serialize;
use utoipa::ToSchema;

/// A part of a list.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct ListResponse<T> {
    /// Its rows.
    pub(in super::super) data: Vec<T>,
    /// Where the next part begins; null when there are no rows.
    #[schema(required, nullable)]
    pub(in super::super) iterator: Option<String>,
    /// Where the part in front of this one ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) prev_iterator: Option<String>,
    /// Whether there is nothing beyond.
    pub(in super::super) done: bool,
}

/// Which part of a list is wanted.
#[derive(Debug, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it describes what `query` reads, for the description of the API")]
pub(in super::super) struct ListParams {
    /// Most rows.
    #[param(minimum = 1, maximum = 250, default = 50)]
    limit: Option<u16>,
    /// Where it begins: `iterator` of the part before; or, with a `-` in front, where it ends.
    iterator: Option<String>,
    /// The order of the list.
    #[param(value_type = Option<String>, pattern = "^(ascending|descending)$")]
    order: Option<String>,
}

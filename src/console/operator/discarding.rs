//! Putting dead letters away for good: with a reason, and with their number typed.
//!
//! The number that was typed is what has to match: should there be more of them by then, nothing is done.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use super::confirm::{self, Confirm, Spelled, Wanted};
use super::form::Faults;
use super::which;
use crate::console::deeds::Details;
use crate::console::form::{Asked, Fields, Sent};
use crate::console::frame::Section;
use crate::console::refusal::Refusal;
use crate::console::rights::{MakeAttempts, OperatorMay};
use crate::console::site::Site;
use crate::console::text::Text;
use crate::control::dead_letters::{DISCARD_MAX, Discard};
use crate::control::replays::Wish;

/// `GET /console/dead-letters/discard`: whether it is meant.
pub(super) async fn ask(
    State(site): State<Arc<Site>>,
    operator: OperatorMay<MakeAttempts>,
    Asked(asked): Asked,
) -> Result<Response, Refusal> {
    asking(&site, &operator, &asked, Faults::default()).await
}

async fn asking(
    site: &Site,
    operator: &OperatorMay<MakeAttempts>,
    asked: &Fields,
    faults: Faults,
) -> Result<Response, Refusal> {
    let wish = Wish { which: which::which(asked)?, all: true, ..Wish::default() };
    let counted = site.replays().preview(&operator.control, None, &wish).await?;
    let back = format!("/console/dead-letters/list?{}", which::query(asked));
    let Some(count) = counted.preview.matched else {
        let why = "They are more than could be counted in the time that there is: choose fewer.";
        return Err(Refusal::Invalid(why.into()));
    };
    if count == 0 {
        return Err(Refusal::Invalid(
            "No dead letter matches: there is nothing to put away.".into(),
        ));
    }
    let title = match count {
        1 => "Discard one dead letter?".to_owned(),
        many => format!("Discard {many} dead letters?"),
    };
    let frame = operator.frame(site, &title, Section::DeadLetters, asked);
    let action = "/console/dead-letters/discard".to_owned();
    let mut asked_for = Confirm::new(frame, action, back, "Discard them for good")
        .says(&format!("These are meant: {}.", which::told(asked)))
        .says("They are not sent again, and no replay finds them. Their deliveries and attempts stay on record.");
    if count > DISCARD_MAX {
        asked_for = asked_for.says(&format!(
            "At most {DISCARD_MAX} are put away at a time, the newest first: the rest stays, for the same page again."
        ));
    }
    Confirm {
        fields: which::hidden(asked),
        spelled: Some(Spelled { label: "How many", wanted: Text::line(&count.to_string()) }),
        reason: Some(Wanted::Yes),
        faults,
        ..asked_for
    }
    .shown()
}

/// `POST /console/dead-letters/discard`
pub(super) async fn discard(
    State(site): State<Arc<Site>>,
    operator: OperatorMay<MakeAttempts>,
    Sent(form): Sent,
) -> Result<Response, Refusal> {
    let Some(expect) = form.one("typed").and_then(|text| text.parse::<u64>().ok()) else {
        let faults = Faults::at("typed", "That is no number: how many are to be put away?");
        return asking(&site, &operator, &form, faults).await;
    };
    let reason = form.one("reason").unwrap_or_default().to_owned();
    let discard = Discard {
        which: which::which(&form)?,
        all: which::is_all(&form),
        reason: reason.clone(),
        expect: Some(expect),
    };
    match operator.control.discard_dead_letters(None, discard).await {
        Ok(done) => {
            let details = json!({
                "filter": which::told(&form).as_str(), "reason": reason, "expected": expect,
                "discarded": done.discarded, "done": done.done,
            });
            let word = if done.done { "discarded" } else { "discarded-some" };
            let answer = confirm::done("/console/dead-letters", word);
            Ok((Details(details), answer).into_response())
        }
        Err(error) => asking(&site, &operator, &form, Faults::of(error)?).await,
    }
}

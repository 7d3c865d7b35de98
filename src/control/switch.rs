//! Whether an application's deliveries go on: what follows when its settings say otherwise than before.
//!
//! Holding back is answered when no attempt starts any more, anywhere, as pausing an endpoint is. Letting go
//! offers at once what was held back. The settings themselves are written by the caller, first.
//!
//! **What if we die right here?** Behind the settings, and before what was held back is offered: that it is
//! to be is written with them, and found by itself (`Upkeep::left_undone`).

use super::{Answer, Control};
use crate::domain::settings::{DeliverySwitch, Settings};

impl Control {
    /// Carries out what settings that have just been written say of deliveries, which were `before`; how
    /// many were offered.
    ///
    /// # Errors
    /// `Unavailable` says what is done, should a router not have confirmed it; or leaves deliveries
    /// waiting, which are offered within a minute or two.
    pub async fn delivery_switched(
        &self,
        before: DeliverySwitch,
        settings: &Settings,
    ) -> Answer<u64> {
        let application = settings.application;
        match settings.delivery {
            DeliverySwitch::On => {
                self.holds_here().await;
                if before.sends() {
                    return Ok(0);
                }
                Ok(self.ledger.recall_held(application, (self.context.now)()).await?)
            }
            // Also when it was so before: perhaps the call that did it was not confirmed.
            DeliverySwitch::Hold => {
                self.holds_everywhere(&format!("deliveries of {application} are held back"))
                    .await?;
                Ok(0)
            }
            DeliverySwitch::Off => {
                self.holds_everywhere(&format!("deliveries of {application} are off")).await?;
                Ok(0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::applications::NewApplication;
    use crate::control::fake::World;

    #[tokio::test]
    async fn what_was_held_back_is_offered_when_it_is_let_go_and_only_then() {
        use DeliverySwitch::{Hold, Off, On};
        let world = World::new();
        let acme = NewApplication::named("Acme", Some("acme"));
        let application = world.control.create_application(acme).await.expect("a free uid");
        let unset = Settings::unset(application.id);

        let rows = [
            (On, On, 0),
            (On, Hold, 0),
            (Hold, Off, 0),
            (Off, Hold, 0),
            (Hold, On, 5),
            (Off, On, 5),
        ];
        for (before, delivery, offered) in rows {
            let settings = Settings { delivery, ..unset.clone() };
            let told = world.control.delivery_switched(before, &settings).await;
            assert_eq!(told, Ok(offered), "{before:?} to {delivery:?}");
        }
    }
}

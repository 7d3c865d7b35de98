//! Applications: making, changing, listing and deleting tenants.

use std::num::NonZeroU16;

use super::endpoints::Change;
use super::names::{check_metadata, check_name, check_uid};
use super::{Answer, Control, ControlError};
use crate::domain::application::{Application, Metadata};
use crate::domain::endpoint::default_of;
use crate::domain::id::ApplicationId;
use crate::domain::settings::Settings;
use crate::storage::page::{Order, Page};

/// An application as it is asked for.
#[derive(Debug, Clone, Default)]
pub struct NewApplication {
    /// For people.
    pub name: String,
    /// A name of its owner's choice.
    pub uid: Option<String>,
    /// Requests per second, kept for the owner.
    pub throttle_rate: Option<NonZeroU16>,
    /// What its owner keeps with it.
    pub metadata: Metadata,
}

impl NewApplication {
    /// One with a name, and perhaps a uid, and nothing else.
    pub fn named(name: &str, uid: Option<&str>) -> Self {
        Self { name: name.to_owned(), uid: uid.map(str::to_owned), ..Self::default() }
    }
}

/// What is to change about an application.
#[derive(Debug, Clone, Default)]
pub struct ApplicationEdit {
    /// For people.
    pub name: Option<String>,
    /// Its owner's name for it.
    pub uid: Change<String>,
    /// Requests per second, kept for the owner.
    pub throttle_rate: Change<NonZeroU16>,
    /// What its owner keeps with it: all anew.
    pub metadata: Option<Metadata>,
}

/// What came of writing something that may have been there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Put<T> {
    /// It was made.
    Made(T),
    /// It was there, and is now as it was asked for.
    Known(T),
}

impl Control {
    /// Makes an application.
    ///
    /// # Errors
    /// `Invalid` for its name, uid or metadata; `Conflict` when the uid is taken.
    pub async fn create_application(&self, new: NewApplication) -> Answer<Application> {
        let now = (self.context.now)();
        let application = Application {
            id: ApplicationId::minted(now, self.context.id_chance()),
            organisation: self.organisation,
            uid: check_uid(new.uid, ApplicationId::PREFIX)?,
            name: check_name(new.name)?,
            throttle_rate: new.throttle_rate,
            metadata: check_metadata(new.metadata)?,
            created_at: now,
            updated_at: now,
        };
        self.catalogue.add_application(&application).await?;
        // Should we die here, it has its key when a router starts next.
        self.give_key(&Settings::unset(application.id)).await?;
        Ok(application)
    }

    /// The application of that uid as it is, or a new one.
    ///
    /// # Errors
    /// As [`create_application`](Self::create_application).
    pub async fn application_or_create(&self, new: NewApplication) -> Answer<Put<Application>> {
        let Some(uid) = new.uid.clone() else {
            return self.create_application(new).await.map(Put::Made);
        };
        if let Some(known) = self.known_application(&uid).await? {
            return Ok(Put::Known(known));
        }
        match self.create_application(new).await {
            // Somebody else made it meanwhile.
            Err(ControlError::Conflict(why)) => {
                let known = self.known_application(&uid).await?;
                known.map(Put::Known).ok_or(ControlError::Conflict(why))
            }
            made => made.map(Put::Made),
        }
    }

    /// Writes all of the application of that id or uid anew; makes one when there is none, with this uid
    /// unless another is given.
    ///
    /// # Errors
    /// As [`create_application`](Self::create_application).
    pub async fn put_application(
        &self,
        name: &str,
        new: NewApplication,
    ) -> Answer<Put<Application>> {
        if let Some(known) = self.known_application(name).await? {
            let edit = ApplicationEdit {
                name: Some(new.name),
                // One that the path names it by stays: or the same request again would make another.
                uid: match new.uid {
                    Some(uid) => Change::Set(uid),
                    None if known.uid.as_deref() == Some(name) => Change::Keep,
                    None => Change::Clear,
                },
                throttle_rate: new.throttle_rate.map_or(Change::Clear, Change::Set),
                metadata: Some(new.metadata),
            };
            return self.edit_application(known, edit).await.map(Put::Known);
        }
        let uid = new.uid.or_else(|| Some(name.to_owned()));
        self.create_application(NewApplication { uid, ..new }).await.map(Put::Made)
    }

    /// Changes an application.
    ///
    /// # Errors
    /// As [`create_application`](Self::create_application); `Conflict` when it is gone.
    pub async fn edit_application(
        &self,
        mut application: Application,
        edit: ApplicationEdit,
    ) -> Answer<Application> {
        if let Some(name) = edit.name {
            application.name = check_name(name)?;
        }
        if let Some(uid) = edit.uid.wanted() {
            application.uid = check_uid(uid, ApplicationId::PREFIX)?;
        }
        if let Some(rate) = edit.throttle_rate.wanted() {
            application.throttle_rate = rate;
        }
        if let Some(metadata) = edit.metadata {
            application.metadata = check_metadata(metadata)?;
        }
        application.updated_at = (self.context.now)();
        self.catalogue.edit_application(&application).await?;
        Ok(application)
    }

    /// A part of the list of applications, by id: in the order of their making.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn application_page(&self, page: &Page<ApplicationId>) -> Answer<Vec<Application>> {
        Ok(self.catalogue.applications(self.organisation, page).await?)
    }

    /// Every application, oldest first.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn applications(&self) -> Answer<Vec<Application>> {
        self.application_page(&Page::whole(Order::Ascending)).await
    }

    /// Deletes an application and its endpoints, and takes back what they are owed; how many
    /// deliveries that were.
    ///
    /// # Errors
    /// `NotFound`. `Unavailable` names the endpoints whose deliveries may still be owed: deleting
    /// each by its id takes them back.
    pub async fn delete_application(&self, name: &str) -> Answer<u64> {
        let application = self.application(name).await?;
        let whole = Page::whole(Order::Ascending);
        let endpoints = self.catalogue.endpoints(application.tenant(), &whole).await?;
        let held = !self.catalogue.settings(application.tenant()).await?.delivery.sends();
        let now = (self.context.now)();
        if !self.catalogue.delete_application(application.tenant(), now).await? {
            return Err(ControlError::NotFound(format!("no application is called `{name}`")));
        }
        // What they are owed is taken back in any case: what is not sure is only told behind it.
        let holds = self.holds_everywhere(&format!("application `{name}` is deleted")).await;
        let mut cancelled = 0;
        let mut left = Vec::new();
        let listed = endpoints.into_iter().map(|endpoint| endpoint.id);
        for endpoint in listed.chain([default_of(application.id)]) {
            match self.ledger.cancel(endpoint, now).await {
                Ok(count) => cancelled += count,
                // The others first: one slow answer should not leave them all.
                Err(_) => left.push(endpoint.to_string()),
            }
        }
        if held {
            // What is owed to URLs that events name is taken back at its turn, which it has to be given.
            // Should this fail it is found by itself (`Upkeep::left_undone`).
            let _ = self.ledger.recall_held(application.id, now).await;
        }
        if left.is_empty() {
            return holds.map(|()| cancelled);
        }
        Err(ControlError::Unavailable(format!(
            "application `{name}` is deleted, but what these endpoints are owed could not be taken \
             back; delete each by its id: {}",
            left.join(", ")
        )))
    }
}

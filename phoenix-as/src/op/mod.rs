//! The operations of the AS: one endpoint, one file.

mod alias_dequeue;
mod alias_enqueue_offer;
mod alias_get_package;
mod alias_publish_packages;
mod alias_register;
mod as_credentials;
mod dequeue_offers;
mod enqueue_offer;
mod get_connection_package;
mod issue_tokens;
mod publish_connection_packages;
mod register_finish;
mod register_init;
mod registration_challenge;
mod token_keys;

pub(crate) use alias_dequeue::AliasDequeue;
pub(crate) use alias_enqueue_offer::AliasEnqueueOffer;
pub(crate) use alias_get_package::AliasGetPackage;
pub(crate) use alias_publish_packages::AliasPublishPackages;
pub(crate) use alias_register::AliasRegister;
pub(crate) use as_credentials::AsCredentials;
pub(crate) use dequeue_offers::DequeueOffers;
pub(crate) use enqueue_offer::EnqueueOffer;
pub(crate) use get_connection_package::GetConnectionPackage;
pub(crate) use issue_tokens::IssueTokens;
pub(crate) use publish_connection_packages::PublishConnectionPackages;
pub(crate) use register_finish::RegisterFinish;
pub(crate) use register_init::RegisterInit;
pub(crate) use registration_challenge::RegistrationChallenge;
pub(crate) use token_keys::TokenKeys;

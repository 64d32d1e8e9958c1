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

pub use alias_dequeue::AliasDequeue;
pub use alias_enqueue_offer::AliasEnqueueOffer;
pub use alias_get_package::AliasGetPackage;
pub use alias_publish_packages::AliasPublishPackages;
pub use alias_register::AliasRegister;
pub use as_credentials::AsCredentials;
pub use dequeue_offers::DequeueOffers;
pub use enqueue_offer::EnqueueOffer;
pub use get_connection_package::GetConnectionPackage;
pub use issue_tokens::IssueTokens;
pub use publish_connection_packages::PublishConnectionPackages;
pub use register_finish::RegisterFinish;
pub use register_init::RegisterInit;
pub use registration_challenge::RegistrationChallenge;
pub use token_keys::TokenKeys;

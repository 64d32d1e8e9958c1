//! What calls cost, where an operator changes it (05, "Redemption").

use std::collections::BTreeMap;

use crate::{
    api::{
        Access, Description, Endpoint, EndpointId, Replay, SenderKind,
        auth::{AliasEnqueueOffer, AliasGetPackage, EnqueueOffer, GetConnectionPackage},
        queue::{CreateClient, CreateUser, GetAddPackages},
    },
    token::Class,
};

/// What an operator changes of the cost of endpoints; all others cost what their description says.
///
/// Changed can be what costs a token by itself. Nothing else can be made to cost one, since one needs it before one
/// can have tokens, or must always be able to do it. Where the token is what keeps it to local clients, because only
/// they can have one of that class, it stays so, but for queues: an operator may let clients of other homeservers have
/// them ([`Costs::with_guests`]). And what nobody signs and writes stays to be paid, since nothing else
/// would keep it from being repeated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Costs {
    changed: BTreeMap<EndpointId, Option<Class>>,
}

/// Why a cost cannot be what an operator wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CostError {
    /// There is no such endpoint.
    #[error("there is no endpoint {:#06x}", .0.0)]
    Unknown(EndpointId),
    /// It costs nothing, and must not.
    #[error("{0} must cost nothing")]
    Free(&'static str),
    /// Its token keeps it to local clients.
    #[error("{0} must cost what it does, which keeps it to local clients")]
    Local(&'static str),
    /// Nobody signs it, and it writes: without a token it could be repeated without end.
    #[error("{0} must cost a token, since nobody signs it")]
    Unsigned(&'static str),
    /// Not everybody who may call it can have tokens of that class.
    #[error("{0} is open to clients that cannot have tokens of that class")]
    Unreachable(&'static str),
}

impl Costs {
    /// These, and one more: a token of this class, or none.
    #[must_use]
    pub fn with(mut self, endpoint: EndpointId, class: Option<Class>) -> Self {
        self.changed.insert(endpoint, class);
        self
    }

    /// These, and queues for anyone who has a token of this class, which must be one that clients of other homeservers can
    /// have: users can then move their queues here (08). It is for guests and the homeserver's own users alike, since
    /// nobody can tell them apart.
    #[must_use]
    pub fn with_guests(self, class: Class) -> Self {
        QUEUES.into_iter().fold(self, |costs, endpoint| costs.with(endpoint, Some(class)))
    }

    /// Checks that every change is possible, given all endpoints.
    ///
    /// # Errors
    /// See [`CostError`].
    pub fn check(&self, table: &[Description]) -> Result<(), CostError> {
        for (id, class) in &self.changed {
            let endpoint = table.iter().find(|it| it.id == *id).ok_or(CostError::Unknown(*id))?;
            possible(endpoint, *class)?;
        }
        Ok(())
    }

    /// The endpoint with the cost that is in force. A change that is not possible is none.
    #[must_use]
    pub fn in_force(&self, endpoint: Description) -> Description {
        match self.changed.get(&endpoint.id) {
            Some(class) if possible(&endpoint, *class).is_ok() => priced(endpoint, *class),
            _ => endpoint,
        }
    }
}

fn possible(endpoint: &Description, class: Option<Class>) -> Result<(), CostError> {
    let is_local = endpoint.access == Access::Local;
    match (endpoint.token, class) {
        (None, _) => Err(CostError::Free(endpoint.name)),
        (usual, class) if usual == class => Ok(()),
        (Some(Class::Home), Some(Class::Standard | Class::Contact)) if QUEUES.contains(&endpoint.id) => {
            Ok(())
        }
        (Some(Class::Home), _) => Err(CostError::Local(endpoint.name)),
        (Some(Class::Alias), _) if !is_local => Err(CostError::Local(endpoint.name)),
        (Some(_), Some(Class::Home | Class::Alias)) if !is_local => {
            Err(CostError::Unreachable(endpoint.name))
        }
        (Some(_), None) if endpoint.sender == SenderKind::Nobody && WRITES.contains(&endpoint.id) => {
            Err(CostError::Unsigned(endpoint.name))
        }
        (Some(_), _) => Ok(()),
    }
}

/// What makes a queue.
const QUEUES: [EndpointId; 2] = [CreateUser::DESCRIPTION.id, CreateClient::DESCRIPTION.id];
/// What nobody signs, and takes or leaves something.
const WRITES: [EndpointId; 5] = [
    GetConnectionPackage::DESCRIPTION.id,
    EnqueueOffer::DESCRIPTION.id,
    AliasGetPackage::DESCRIPTION.id,
    AliasEnqueueOffer::DESCRIPTION.id,
    GetAddPackages::DESCRIPTION.id,
];

/// Without a token it is the frame that is accepted once, where there is one.
const fn priced(mut endpoint: Description, class: Option<Class>) -> Description {
    endpoint.token = class;
    endpoint.replay = match (class, endpoint.sender) {
        (Some(_), _) => Replay::Token,
        (None, SenderKind::Nobody) => Replay::Harmless,
        (None, _) => Replay::Frame,
    };
    endpoint
}

#[cfg(test)]
mod tests {
    use super::{CostError, Costs};
    use crate::{
        api::{
            Description, Endpoint, EndpointId, Replay,
            auth::{
                AliasRegister, EnqueueOffer, GetConnectionPackage, GetProfile, MakeInvitation, RegisterInit,
            },
            delivery::{CreateGroup, SendMessage},
            queue::{CreateUser, GetAddPackages, PublishAddPackages},
        },
        token::Class,
    };

    const TABLE: [Description; 11] = [
        CreateUser::DESCRIPTION,
        AliasRegister::DESCRIPTION,
        RegisterInit::DESCRIPTION,
        CreateGroup::DESCRIPTION,
        SendMessage::DESCRIPTION,
        GetAddPackages::DESCRIPTION,
        PublishAddPackages::DESCRIPTION,
        EnqueueOffer::DESCRIPTION,
        GetConnectionPackage::DESCRIPTION,
        GetProfile::DESCRIPTION,
        MakeInvitation::DESCRIPTION,
    ];

    #[test]
    fn what_costs_a_token_can_cost_another_or_none() {
        for (endpoint, class) in [
            (SendMessage::DESCRIPTION, Some(Class::Contact)),
            (PublishAddPackages::DESCRIPTION, Some(Class::Home)),
            (PublishAddPackages::DESCRIPTION, None),
            (MakeInvitation::DESCRIPTION, Some(Class::Standard)),
            (GetAddPackages::DESCRIPTION, Some(Class::Contact)),
            (GetProfile::DESCRIPTION, None),
            (AliasRegister::DESCRIPTION, Some(Class::Alias)),
            (CreateGroup::DESCRIPTION, Some(Class::Home)),
            (CreateUser::DESCRIPTION, Some(Class::Contact)),
            (CreateUser::DESCRIPTION, Some(Class::Standard)),
        ] {
            let costs = Costs::default().with(endpoint.id, class);

            assert_eq!(costs.check(&TABLE), Ok(()));
            assert_eq!(costs.in_force(endpoint).token, class);
        }
        assert_eq!(Costs::default().in_force(SendMessage::DESCRIPTION), SendMessage::DESCRIPTION);
    }

    #[test]
    fn what_must_be_free_or_keeps_strangers_or_repeats_out_cannot_be_changed() {
        for (endpoint, class, error) in [
            (RegisterInit::DESCRIPTION, Some(Class::Standard), CostError::Free("register_init")),
            (CreateGroup::DESCRIPTION, Some(Class::Standard), CostError::Local("create_group")),
            (CreateGroup::DESCRIPTION, None, CostError::Local("create_group")),
            (CreateUser::DESCRIPTION, Some(Class::Alias), CostError::Local("create_user")),
            (CreateUser::DESCRIPTION, None, CostError::Local("create_user")),
            (AliasRegister::DESCRIPTION, Some(Class::Standard), CostError::Local("alias_register")),
            (AliasRegister::DESCRIPTION, Some(Class::Home), CostError::Local("alias_register")),
            (AliasRegister::DESCRIPTION, None, CostError::Local("alias_register")),
            (GetAddPackages::DESCRIPTION, None, CostError::Unsigned("get_add_packages")),
            (GetConnectionPackage::DESCRIPTION, None, CostError::Unsigned("get_connection_package")),
            (EnqueueOffer::DESCRIPTION, None, CostError::Unsigned("enqueue_offer")),
            (SendMessage::DESCRIPTION, Some(Class::Home), CostError::Unreachable("send_message")),
            (SendMessage::DESCRIPTION, Some(Class::Alias), CostError::Unreachable("send_message")),
        ] {
            let costs = Costs::default().with(endpoint.id, class);

            assert_eq!(costs.check(&TABLE), Err(error));
            assert_eq!(costs.in_force(endpoint), endpoint, "it stays as it is");
        }
        let unknown = EndpointId(0xffff);
        assert_eq!(
            Costs::default().with(unknown, None).check(&TABLE),
            Err(CostError::Unknown(unknown)),
            "a slip of the pen shows"
        );
    }

    #[test]
    fn without_a_token_a_frame_is_accepted_once() {
        let free = |endpoint: Description| Costs::default().with(endpoint.id, None).in_force(endpoint);

        assert_eq!(free(SendMessage::DESCRIPTION).replay, Replay::Frame);
        assert_eq!(free(GetProfile::DESCRIPTION).replay, Replay::Harmless, "nobody signs it");
    }
}

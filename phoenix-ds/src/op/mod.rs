//! The operations of the delivery service: one endpoint, one file.

/// What the operations of a member have in common, which names itself by its leaf: where they read, how they open what
/// was found, who the sender is, and what it counts for. Takes the operation's state, what that is read for, and perhaps
/// a function that refuses requests for what they are by themselves.
macro_rules! by_leaf {
    ($state:ident, $purpose:ident $(, $check:ident)?) => {
        fn locate(
            call: &phoenix_core::operation::Decoded<Self>,
            found: &phoenix_core::operation::Rows,
            cx: &phoenix_core::operation::Context<Self::Service>,
        ) -> Result<Vec<phoenix_core::operation::Reading>, phoenix_core::Failure> {
            let purpose = phoenix_core::operation::Purpose::$purpose;
            let readings = $state::readings(&call.request().access, found, purpose, cx)?;
            $(
                if found.is_empty() {
                    $check(call.request(), cx)?;
                }
            )?
            Ok(readings)
        }

        fn open(
            call: &phoenix_core::operation::Decoded<Self>,
            found: phoenix_core::operation::Rows,
            cx: &phoenix_core::operation::Context<Self::Service>,
        ) -> Result<Self::State, phoenix_core::Failure> {
            $state::open(&call.request().access, &found, cx)
        }

        fn authenticate(
            call: &phoenix_core::operation::Decoded<Self>,
            state: &Self::State,
            _: &phoenix_core::operation::Peers,
            _: &phoenix_core::operation::Context<Self::Service>,
        ) -> Result<phoenix_core::operation::Proven<Self::Sender>, phoenix_core::Failure> {
            let group = &call.request().access.group;
            Ok($crate::group::prove_leaf(call.frame()?, group, state.roster(), |leaf| leaf)?)
        }

        fn loads(
            call: &phoenix_core::operation::Decoded<Self>,
            state: &Self::State,
            sender: &Self::Sender,
            cx: &phoenix_core::operation::Context<Self::Service>,
        ) -> phoenix_core::limit::Loads {
            let request = call.request();
            let (of, to) = ((&request.access.group, *sender), state.roster().others(*sender));
            $crate::loads::change(of, to, tls_codec::Size::tls_serialized_len(request), cx)
        }
    };
}

pub(crate) mod add_users;
pub(crate) mod change_roles;
pub(crate) mod create_group;
pub(crate) mod delete_group;
pub(crate) mod ds_keys;
pub(crate) mod external_commit_info;
pub(crate) mod join_connection_group;
pub(crate) mod remove_users;
pub(crate) mod report;
pub(crate) mod request_group_id;
pub(crate) mod resync;
pub(crate) mod self_remove;
pub(crate) mod send_message;
pub(crate) mod send_targeted;
pub(crate) mod undelivered;
pub(crate) mod update_client;
pub(crate) mod update_profile_key;
pub(crate) mod update_queue_config;
pub(crate) mod welcome_info;

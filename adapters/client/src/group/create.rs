//! Making a group on our own DS.

use std::sync::Arc;

use openmls::prelude::{MlsGroup, PURE_PLAINTEXT_WIRE_FORMAT_POLICY};
use openmls_traits::OpenMlsProvider;
use phoenix_core::{
    ConfigId, ErrorCode, GroupId, LeafIndex,
    api::{
        Empty,
        delivery::{
            CreateGroup, CreateGroupRequest, DsPublicKeys, GroupAccess, GroupReservation, MemberKeys,
            RequestGroupId,
        },
        mls::Connection,
        queue::ClientQueueConfig,
    },
    crypto::sha256,
    port::Circuit,
    wire::{Secret, Sender},
};

use super::{Asked, ConnectionState, GroupRecord, OpenOffer, PADDING, PAST_EPOCHS, members::Tell};
use crate::{
    call::{Auth, Route},
    error::{ClientError, mls},
    mls::{
        ciphersuite,
        encoding::{encode, message, mls_group_id},
        extensions,
        leaf::{OwnLeaf, capabilities, lifetime, validity},
        mls_signer,
    },
    session::Session,
};

impl Session {
    /// Makes an ordinary group.
    pub(crate) async fn create_group(&mut self) -> Result<GroupId, ClientError> {
        self.create(ConnectionState::None).await
    }

    /// Makes a group that one user may join with a code.
    pub(crate) async fn create_connection_group(&mut self, asked: Asked) -> Result<GroupId, ClientError> {
        let (join_code, expires) = (self.join_code(), self.offer_expiry());
        self.create(ConnectionState::Open(OpenOffer { asked, join_code, expires, answer: None })).await
    }

    async fn create(&mut self, connection: ConnectionState) -> Result<GroupId, ClientError> {
        let domain = self.domain().clone();
        let ds = self.ds_keys(&domain).await?;
        let circuit = self.fresh_circuit();
        let route = Route { domain: domain.clone(), circuit: Circuit(circuit) };
        let config_id = ConfigId(self.chance.bytes());
        let config = self.make_group_config(config_id, &domain).await?;
        let reservation = self.call::<RequestGroupId>(&route, None, &Empty {}).await?;
        let group = reservation.group.clone();
        if group.domain != domain {
            return Err(ClientError::Unexpected("a group of another domain"));
        }
        let identity = (&self.state.account.credential, self.signer.as_ref());
        let leaf =
            OwnLeaf::generate(self.state.account.suite, identity, self.ports.clock.now(), &mut self.chance)?;
        let mls_group = self.build_group(&group, &leaf, &ds, &connection)?;
        let ear_key = Secret::new(self.chance.bytes());
        let access = GroupAccess { group: group.clone(), ear_key_id: 0, ear_key };
        let keys = (Secret::new(self.chance.bytes()), Secret::new(self.chance.bytes()));
        let (config_generation, queue) = (self.record()?.generation, self.record()?.client);
        let record = GroupRecord {
            connection,
            config_generation,
            ..GroupRecord::new(circuit, access, keys, (leaf, config_id, queue))
        };
        let (request, own) = self.creation(reservation, &record, &mls_group, config)?;
        let auth =
            Auth::new(Sender::NewKey(record.leaf.key.verifying_key()), Arc::new(record.leaf.key.clone()));
        match self.call::<CreateGroup>(&route, Some(&auth), &request).await {
            Ok(_) => {}
            // An echo of a try whose answer was lost: nobody else has the reservation.
            Err(error) if self.uncertain && is_echo(&error) => {}
            Err(error) => return Err(error),
        }
        self.begin(record, mls_group, own)?;
        Ok(group)
    }

    /// What the DS needs to make the group, and our sealed keys.
    fn creation(
        &mut self,
        reservation: GroupReservation,
        record: &GroupRecord,
        mls_group: &MlsGroup,
        config: ClientQueueConfig,
    ) -> Result<(CreateGroupRequest, MemberKeys), ClientError> {
        let signer = mls_signer(&record.leaf.key);
        let info = mls_group.export_group_info(self.provider.crypto(), &signer, false);
        let keys = self.seal_keys((&record.credential_key, &record.profile_key), &record.leaf)?;
        let request = CreateGroupRequest {
            reservation,
            ear_key_id: 0,
            ear_key: record.access.ear_key.clone(),
            tree: encode(&mls_group.export_ratchet_tree())?,
            group_info: message(&info.map_err(mls("make a GroupInfo"))?)?,
            config,
            keys: keys.clone(),
        };
        Ok((request, keys))
    }

    /// The DS has made the group.
    fn begin(
        &mut self,
        mut record: GroupRecord,
        mls_group: MlsGroup,
        keys: MemberKeys,
    ) -> Result<(), ClientError> {
        let group = record.access.group.clone();
        record.committed_at = self.now();
        record.config_until = self.config_due();
        record.profile_told = self.profile_version();
        self.state.configs.insert(record.config, group.clone());
        self.state.groups.insert(group.clone(), record);
        self.keep(group.clone(), mls_group);
        self.draw_config(&group)?;
        let fresh = [(self.own_leaf_key(&group)?, keys)].into_iter().collect();
        self.refresh_members(&group, &fresh, None)?;
        self.know_ourselves(&group, LeafIndex(0))?;
        self.tell_members(&group, Tell::Nobody)
    }

    fn build_group(
        &self,
        group: &GroupId,
        leaf: &OwnLeaf,
        ds: &DsPublicKeys,
        connection: &ConnectionState,
    ) -> Result<MlsGroup, ClientError> {
        let offer = match connection {
            ConnectionState::Open(open) => {
                Some(Connection { join_code_hash: sha256(open.join_code.expose()), expires: open.expires })
            }
            _ => None,
        };
        let (suite, pseudonym) = (self.state.account.suite, leaf.credential.pseudonym);
        let context = extensions::group_context((&group.domain, ds), pseudonym, offer.as_ref())?;
        MlsGroup::builder()
            .with_group_id(mls_group_id(group))
            .ciphersuite(ciphersuite(suite))
            .with_wire_format_policy(PURE_PLAINTEXT_WIRE_FORMAT_POLICY)
            .padding_size(PADDING)
            .max_past_epochs(usize::from(PAST_EPOCHS))
            .use_ratchet_tree_extension(false)
            .lifetime(lifetime(validity(self.now())))
            .with_capabilities(capabilities())
            .with_group_context_extensions(context)
            .build(&self.provider, &mls_signer(&leaf.key), leaf.credential_with_key())
            .map_err(mls("make a group"))
    }
}

fn is_echo(error: &ClientError) -> bool {
    matches!(error.code(), Some(ErrorCode::AlreadyExists | ErrorCode::Conflict))
}

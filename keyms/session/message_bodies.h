// SPDX-License-Identifier: GPL-3.0-or-later
// For session/*.cpp only: the body of each message, without what stands around it
// (message_form.cpp).
#pragma once

#include "base/cbor_reader.h"
#include "base/cbor_writer.h"
#include "keyms/session/messages.h"

namespace cs::keyms {

// Fields that several have. What is empty is refused.
[[nodiscard]] Result<Bytes> read_bytes(CborReader& in, std::string_view what, std::size_t most);
[[nodiscard]] Result<Hash> read_hash(CborReader& in, std::string_view what);
[[nodiscard]] Result<std::string> read_text(CborReader& in, std::string_view what);
void write(CborWriter& out, const Reason& reason);
[[nodiscard]] Result<Reason> read_reason(CborReader& in);

// Of a run: evidence_message.cpp.
void write(CborWriter& out, const EvidenceMessage& evidence);
void write(CborWriter& out, const Get& get);
void write(CborWriter& out, const Part& part);
void write(CborWriter& out, const ResultMessage& result);
void write(CborWriter& out, const FinalMessage& final);
[[nodiscard]] Result<Sealed> read_evidence(CborReader& in);
[[nodiscard]] Result<Sealed> read_get(CborReader& in);
[[nodiscard]] Result<Sealed> read_part(CborReader& in);
[[nodiscard]] Result<Sealed> read_result(CborReader& in);
[[nodiscard]] Result<Sealed> read_final(CborReader& in);

// Of the link, and what ends a run: link_message.cpp.
void write(CborWriter& out, const Denied& denied);
void write(CborWriter& out, const Ready& ready);
void write(CborWriter& out, const Alive& alive);
void write(CborWriter& out, const Sas& sas);
void write(CborWriter& out, const SasGone& gone);
void write(CborWriter& out, const Notice& notice);
void write(CborWriter& out, const Deny& deny);
[[nodiscard]] Result<Sealed> read_denied(CborReader& in);
[[nodiscard]] Result<Sealed> read_ready(CborReader& in);
[[nodiscard]] Result<Sealed> read_alive(CborReader& in);
[[nodiscard]] Result<Sealed> read_sas(CborReader& in);
[[nodiscard]] Result<Sealed> read_gone(CborReader& in);
[[nodiscard]] Result<Sealed> read_notice(CborReader& in);
[[nodiscard]] Result<Sealed> read_deny(CborReader& in);

}  // namespace cs::keyms

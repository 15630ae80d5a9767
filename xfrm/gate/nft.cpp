// SPDX-License-Identifier: GPL-3.0-or-later
#include <nftables/libnftables.h>

#include "xfrm/command.h"
#include "xfrm/gate/rules.h"

namespace cs::xfrm {
namespace {

struct FreeContext {
  void operator()(nft_ctx* context) const noexcept { nft_ctx_free(context); }
};

enum class Run : std::uint8_t { for_real, as_trial };

Error refused(const std::string& errors) {
  if (errors.find("No such file") != std::string::npos) {
    return {ErrorKind::not_found,
            "nftables finds no such thing: " + errors.substr(0, errors.find('\n'))};
  }
  return refusal_of("nftables", errors, "where the kernel's nftables cannot, use --iptables");
}

// A context for each command: its socket belongs to the network namespace it is made in. The
// answer, in JSON; what the kernel takes it takes in one transaction.
Result<std::string> ask(const std::string& commands, Run how = Run::for_real) {
  const std::unique_ptr<nft_ctx, FreeContext> context(nft_ctx_new(NFT_CTX_DEFAULT));
  if (!context || nft_ctx_buffer_output(context.get()) != 0 ||
      nft_ctx_buffer_error(context.get()) != 0) {
    return Error(ErrorKind::unsupported, "starting libnftables");
  }
  nft_ctx_output_set_flags(context.get(), NFT_CTX_OUTPUT_JSON | NFT_CTX_OUTPUT_NUMERIC_PRIO);
  nft_ctx_set_dry_run(context.get(), how == Run::as_trial);
  if (nft_run_cmd_from_buffer(context.get(), commands.c_str()) != 0) {
    return refused(nft_ctx_get_error_buffer(context.get()));
  }
  return std::string(nft_ctx_get_output_buffer(context.get()));
}

Result<void> tell(const std::string& commands, Run how = Run::for_real) {
  CS_TRY(const std::string ignored, ask(commands, how));
  return {};
}

Result<void> tell_of(const std::string& peer, const std::string& commands) {
  Result<void> done = tell(commands);
  if (!done.ok() && done.error().kind() == ErrorKind::not_found) return no_such_peer(peer);
  return done;
}

class NftGate final : public GateRules {
 public:
  [[nodiscard]] GateKind kind() const noexcept override { return GateKind::nft; }
  [[nodiscard]] Result<void> try_out(const GateConfig& config) const override {
    return tell(nft_gate(config), Run::as_trial);
  }
  [[nodiscard]] Result<void> replace(const GateConfig& config,
                                     const std::vector<GateGrant>& granted) const override {
    return tell(nft_gate(config, granted));
  }
  [[nodiscard]] Result<void> open(const std::string& peer, Opening opening) const override {
    return tell_of(peer, nft_gate_opening(peer, opening));
  }
  [[nodiscard]] Result<void> admit(const std::string& peer, const Passage& p) const override {
    return tell_of(peer, nft_gate_admission(peer, p));
  }
  [[nodiscard]] Result<void> withdraw(const std::string& peer, const Passage& p) const override {
    return tell_of(peer, nft_gate_withdrawal(peer, p));
  }
  [[nodiscard]] Result<std::optional<GateView>> look() const override {
    const Result<std::string> answer = ask("list table inet countersign_gate");
    if (!answer.ok()) {
      if (answer.error().kind() == ErrorKind::not_found) return std::optional<GateView>();
      return Error(answer.error());
    }
    // Of a dormant table nft 1.0.6 says what is no text. Whatever nobody can read is no gate.
    Result<GateView> view = nft_gate_view(*answer);
    return std::optional(view.ok() ? std::move(*view) : GateView{});
  }
  [[nodiscard]] Result<void> remove() const override { return tell(nft_gate_removal()); }
};

}  // namespace

std::unique_ptr<GateRules> make_nft_gate() {
  return std::make_unique<NftGate>();
}

}  // namespace cs::xfrm

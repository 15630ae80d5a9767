// SPDX-License-Identifier: GPL-3.0-or-later
// Any text as nfq-signer's configuration: it is refused, or what it says is possible.
#include "base/bytes.h"
#include "nfq-signer/config.h"
#include "tests/fuzz/fuzz.h"

using namespace cs;
using cs::fuzz::expect;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteView input(data, size);
  const std::string_view text(reinterpret_cast<const char*>(input.data()), input.size());
  const auto config = parse_config(text, "fuzz");
  if (!config.ok()) {
    expect(!config.error().message().empty(), "refused without words");
    return 0;
  }
  expect(config->queues != 0 && config->slots >= config->max_batch &&
             config->first_queue + 2 * config->queues <= 65536,
         "accepted what is not possible");
  for (const mtu::Tunnel& tunnel : config->tunnels) {
    const auto wanted = mtu::question_for(tunnel, mtu::Policy::fragment, 1, max_packet);
    expect(mtu::plan(wanted).ok() && tunnel.inner.size() <= mtu::Tunnel::max_inner,
           "accepted a tunnel that cannot be");
  }
  return 0;
}

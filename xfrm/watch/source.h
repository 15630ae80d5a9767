// SPDX-License-Identifier: GPL-3.0-or-later
// Whom a mirror asks and follows: the kernel, in tests something else.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <vector>

#include "base/result.h"
#include "xfrm/netlink/socket.h"
#include "xfrm/state/model.h"

namespace cs::xfrm {

class Source {
 public:
  Source() = default;
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;
  Source(Source&&) = delete;
  Source& operator=(Source&&) = delete;
  virtual ~Source() = default;

  virtual Result<void> each_policy(const std::function<Result<void>(Policy)>& take) = 0;
  virtual Result<void> each_sa(const std::function<Result<void>(Sa)>& take) = 0;
  virtual Result<std::optional<Defaults>> defaults() = 0;
  virtual Result<std::vector<InterfaceSwitches>> switches() = 0;
  // nullopt: it is not there (any more).
  virtual Result<std::optional<Sa>> sa(const SaId& id) = 0;

  // The events of the next datagram; false: there is none now. Fails with ENOBUFS as os_error() if
  // events were lost, once for each time, and goes on. A message that cannot be read is an event of
  // Kind::unknown.
  virtual Result<bool> next(const std::function<Result<void>(Event)>& take) = 0;
};

// In the network namespace of the thread that opened it, which has to be the one that uses it:
// switches are files. Follows from the moment it is open. Needs CAP_NET_ADMIN.
class KernelSource final : public Source {
 public:
  // Of SAs as they come with an IKE daemon, some ten thousand events.
  static constexpr std::size_t usual_room = std::size_t{16} * 1024 * 1024;

  static Result<std::unique_ptr<KernelSource>> open(std::size_t room = usual_room);

  // Readable: next() has something.
  [[nodiscard]] int fd() const noexcept { return events_.fd(); }

  Result<void> each_policy(const std::function<Result<void>(Policy)>& take) override;
  Result<void> each_sa(const std::function<Result<void>(Sa)>& take) override;
  Result<std::optional<Defaults>> defaults() override;
  Result<std::vector<InterfaceSwitches>> switches() override;
  Result<std::optional<Sa>> sa(const SaId& id) override;
  Result<bool> next(const std::function<Result<void>(Event)>& take) override;

 private:
  KernelSource(netlink::Socket questions, netlink::EventSocket events)
      : questions_(std::move(questions)), events_(std::move(events)) {}

  netlink::Socket questions_;
  netlink::EventSocket events_;
};

}  // namespace cs::xfrm

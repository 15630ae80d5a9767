// SPDX-License-Identifier: GPL-3.0-or-later
// What signing is compared with: accepting, dropping, growing packets without cryptography, and
// one signature per packet.
#include <openssl/ec.h>
#include <openssl/evp.h>

#include <algorithm>
#include <array>

#include "nfq-signer/counters.h"
#include "tools/bench/engine.h"
#include "xfrm/queue/queue.h"

namespace cs::bench {

namespace {

// Whatever the batch size of the signers is, so that --batch does not change what they are compared
// with.
constexpr std::size_t usual_burst = 64;

// One queue, a burst of packets per turn, one send for all of them.
class PlainEngine : public Engine {
 public:
  explicit PlainEngine(Queue queue, std::size_t burst = usual_burst)
      : queue_(std::move(queue)), burst_(burst) {
    received_.reserve(burst);
  }

  Result<void> work() override {
    received_.clear();
    CS_CHECK(queue_.receive(burst_, received_));
    for (const Queue::Held& held : received_) {
      CS_CHECK(decide(held));
      queue_.release(held);
    }
    CS_CHECK(queue_.flush());
    finished_.add(received_.size());
    lost_.set(queue_.counters().lost);
    return {};
  }
  void wait(std::chrono::nanoseconds limit) const override { wait_readable(queue_.fd(), limit); }
  [[nodiscard]] std::uint64_t passed() const noexcept override { return finished_.value(); }
  [[nodiscard]] std::uint64_t finished() const noexcept override { return finished_.value(); }
  [[nodiscard]] Drops drops() const override {
    if (lost_.value() == 0) return {};
    return {{"lost", lost_.value()}};
  }

 protected:
  virtual Result<void> decide(const Queue::Held& held) = 0;
  [[nodiscard]] Queue& queue() noexcept { return queue_; }

 private:
  Queue queue_;
  std::size_t burst_;
  std::vector<Queue::Held> received_;
  Counter finished_;
  Counter lost_;
};

class AcceptEngine final : public PlainEngine {
  using PlainEngine::PlainEngine;
  Result<void> decide(const Queue::Held& held) override {
    return queue().accept(held.packet.id, {});
  }
};

class DropEngine final : public PlainEngine {
  using PlainEngine::PlainEngine;
  Result<void> decide(const Queue::Held& held) override { return queue().drop(held.packet.id); }
  [[nodiscard]] std::uint64_t passed() const noexcept override { return 0; }
  [[nodiscard]] Drops drops() const override { return {{"unseen", finished()}}; }
};

// Gives the packet back with `extension` in it.
Result<void> grow(Queue& queue, const Queue::Held& held, const Layout& at, ByteView extension) {
  const ByteView packet = held.packet.payload;
  const ByteSpan out = queue.room(held, 0, packet.size() + extension.size());
  insert_extension(at, packet, extension, out);
  return queue.accept_as(held, {}, out);
}

class MangleEngine final : public PlainEngine {
 public:
  MangleEngine(Queue queue, std::size_t batch, Suite suite)
      : PlainEngine(std::move(queue)),
        growth_(largest_extension(suite, static_cast<std::uint32_t>(batch))) {}

 private:
  // As many bytes as the signature in a full batch takes.
  Result<void> decide(const Queue::Held& held) override {
    Layout at;
    if (find_layout(held.packet.payload, {}, at) != Reason::none)
      return Error(ErrorKind::invalid, "mode mangle met a packet that is not its own");
    return grow(queue(), held, at, ByteView(bytes_).first(growth_ + padding_for(at, growth_)));
  }

  std::size_t growth_;
  std::array<std::uint8_t, max_extension> bytes_{};
};

// How packets are signed by whom it does not occur to do it in batches: receive one, sign it with
// the library's interface for everybody, send one verdict.
class NaiveEngine final : public PlainEngine {
 public:
  NaiveEngine(Queue queue, EVP_PKEY* key)
      : PlainEngine(std::move(queue), 1), key_(key), context_(EVP_MD_CTX_new()) {}
  NaiveEngine(const NaiveEngine&) = delete;
  NaiveEngine& operator=(const NaiveEngine&) = delete;
  NaiveEngine(NaiveEngine&&) = delete;
  NaiveEngine& operator=(NaiveEngine&&) = delete;
  ~NaiveEngine() override {
    EVP_MD_CTX_free(context_);
    EVP_PKEY_free(key_);
  }

 private:
  Result<void> decide(const Queue::Held& held) override {
    const ByteView packet = held.packet.payload;
    Layout at;
    std::array<std::uint8_t, fixed_extension> extension{};
    std::size_t size = extension.size();
    if (find_layout(packet, {}, at) != Reason::none ||
        EVP_DigestSignInit(context_, nullptr, EVP_sha256(), nullptr, key_) != 1 ||
        EVP_DigestSign(context_, extension.data(), &size, &packet[at.payload],
                       packet.size() - at.payload) != 1) {
      return Error(ErrorKind::internal, "mode naive: OpenSSL does not sign");
    }
    return grow(queue(), held, at, extension);
  }

  EVP_PKEY* key_;
  EVP_MD_CTX* context_;
};

}  // namespace

Result<std::unique_ptr<Engine>> make_plain_engine(EngineKind kind, const EngineSetting& setting,
                                                  const Options& options, const Keys& keys) {
  Queue::Options wanted{.number = setting.queue, .length = setting.length};
  wanted.receive_buffer = receive_buffer(setting, options);
  CS_TRY(Queue queue, Queue::open(wanted));
  std::unique_ptr<Engine> engine;
  if (kind == EngineKind::drop) {
    engine = std::make_unique<DropEngine>(std::move(queue));
  } else if (kind == EngineKind::mangle) {
    engine = std::make_unique<MangleEngine>(std::move(queue), setting.batch, keys.suite());
  } else if (kind == EngineKind::naive) {
    EVP_PKEY* const key = EVP_EC_gen("P-256");
    if (key == nullptr) return Error(ErrorKind::internal, "making a P-256 key");
    engine = std::make_unique<NaiveEngine>(std::move(queue), key);
  } else {
    engine = std::make_unique<AcceptEngine>(std::move(queue));
  }
  return engine;
}

}  // namespace cs::bench

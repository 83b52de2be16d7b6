// The generated code, under a short name.
#pragma once

#include <grpcpp/grpcpp.h>

#include "streamlog/v1/admin_service.grpc.pb.h"
#include "streamlog/v1/batch.pb.h"
#include "streamlog/v1/group_service.grpc.pb.h"
#include "streamlog/v1/log_service.grpc.pb.h"
#include "streamlog/v1/record_service.grpc.pb.h"

namespace client {
namespace pb = streamlog::v1;
}

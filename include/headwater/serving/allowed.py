"""What a question may call: functions of ClickHouse that compute from their arguments alone, by name.

Nothing here reads a file, a host, a dictionary, a setting or the server's own state, waits, or raises on purpose. A
name that is missing is refused with that name; add it here if it, too, only computes.
"""

from __future__ import annotations

_AGGREGATES = """
any anyHeavy anyLast argMax argMin avg avgWeighted boundingRatio contingency corr corrStable count covarPop
covarPopStable covarSamp covarSampStable cramersV deltaSum deltaSumTimestamp entropy exponentialMovingAverage
exponentialTimeDecayedAvg first_value groupArray groupArrayLast groupArrayMovingAvg groupArrayMovingSum
groupArraySample groupArraySorted groupBitAnd groupBitOr groupBitXor groupConcat groupUniqArray histogram
intervalLengthSum kurtPop kurtSamp last_value max maxMap median medianExact min minMap mannWhitneyUTest quantile
quantileExact quantileExactLow quantileExactHigh quantileExactWeighted quantileTDigest quantileTiming quantiles
quantilesExact quantilesTDigest retention sequenceCount sequenceMatch simpleLinearRegression skewPop skewSamp
stddevPop stddevSamp studentTTest sum sumCount sumKahan sumMap sumWithOverflow topK topKWeighted uniq uniqCombined
uniqCombined64 uniqExact uniqHLL12 uniqTheta varPop varSamp welchTTest windowFunnel array_agg bool_and bool_or
stddev_pop stddev_samp var_pop var_samp covar_pop covar_samp string_agg listagg stddev variance every some
"""
_WINDOWS = """
row_number rank dense_rank percent_rank cume_dist ntile lag lead lagInFrame leadInFrame nth_value first_value
last_value nonNegativeDerivative
"""
_ARITHMETIC = """
abs acos acosh asin asinh atan atan2 atanh bar cbrt ceil ceiling cos cosh degrees divide divideDecimal e erf erfc exp
exp10 exp2 factorial floor gcd greatest hypot intDiv intDivOrNull intDivOrZero intExp10 intExp2 isFinite isInfinite
isNaN ifNotFinite lcm least lgamma ln log log10 log1p log2 max2 min2 minus mod modulo moduloOrNull moduloOrZero
multiply multiplyDecimal negate negative pi plus pow power positiveModulo radians rand32 rand64 round roundAge
roundBankers roundDown roundDuration roundToExp2 sigmoid sign sin sinh sqrt tan tanh tgamma trunc truncate widthBucket
width_bucket bitAnd bitCount bitNot bitOr bitShiftLeft bitShiftRight bitTest bitXor equals notEquals less greater
lessOrEquals greaterOrEquals and or xor not compare_and
"""
_CONDITIONS = """
assumeNotNull case caseWithExpression coalesce if ifNull isNotNull isNull isNotDistinctFrom isZeroOrNull multiIf
nullIf transform toNullable zeroOrNull materialize identity toTypeName
"""
_STRINGS = """
ascii base64Decode base64Encode char char_length character_length concat concatWithSeparator concat_ws countMatches
countSubstrings countSubstringsCaseInsensitive damerauLevenshteinDistance editDistance editDistanceUTF8 empty endsWith
endsWithCaseInsensitive extract extractAll extractAllGroups extractGroups format hasSubsequence hasToken hex ilike
initcap initcapUTF8 instr jaroSimilarity jaroWinklerSimilarity lcase left leftPad leftPadUTF8 leftUTF8 length
lengthUTF8 levenshteinDistance like locate lower lowerUTF8 lpad ltrim match mid multiMatchAny multiSearchAny
multiSearchAnyCaseInsensitive ngramDistance ngramSearch normalizeUTF8NFC notEmpty notILike notLike octet_length
position positionCaseInsensitive positionUTF8 regexpExtract regexpQuoteMeta repeat replace replaceAll replaceOne
replaceRegexpAll replaceRegexpOne reverse reverseUTF8 right rightPad rightPadUTF8 rightUTF8 rpad rtrim soundex space
splitByChar splitByNonAlpha splitByRegexp splitByString splitByWhitespace startsWith startsWithCaseInsensitive strpos
substr substring substringIndex substringUTF8 toValidUTF8 translate translateUTF8 trim trimBoth trimLeft trimRight
tokens ucase unhex upper upperUTF8 alphaTokens overlay
"""
_TIMES = """
addDays addHours addMicroseconds addMilliseconds addMinutes addMonths addQuarters addSeconds addWeeks addYears age
changeDay changeHour changeMonth changeYear date dateAdd dateDiff dateName dateSub dateTrunc date_add date_diff
date_format date_sub date_trunc datediff dateadd datetrunc formatDateTime formatDateTimeInJodaSyntax fromUnixTimestamp
fromUnixTimestamp64Micro fromUnixTimestamp64Milli makeDate makeDate32 makeDateTime makeDateTime64 monthName now now64
parseDateTime parseDateTime64 parseDateTimeBestEffort parseDateTimeBestEffortOrNull parseDateTimeOrNull subtractDays
subtractHours subtractMinutes subtractMonths subtractQuarters subtractSeconds subtractWeeks subtractYears timeDiff
timeSlot timeSlots timestamp timestampAdd timestampDiff timestamp_add timestamp_diff timestamp_sub timestamp_trunc
toDate toDate32 toDate32OrNull toDateOrNull toDateTime toDateTime64 toDateTime64OrNull toDateTimeOrNull toDayOfMonth
toDayOfWeek toDayOfYear toHour toISOWeek toISOYear toLastDayOfMonth toLastDayOfWeek toMinute toMonday toMonth
toQuarter toRelativeDayNum toRelativeHourNum toRelativeMonthNum toRelativeWeekNum toSecond toStartOfDay
toStartOfFifteenMinutes toStartOfFiveMinutes toStartOfHour toStartOfISOYear toStartOfInterval toStartOfMinute
toStartOfMonth toStartOfQuarter toStartOfSecond toStartOfWeek toStartOfYear toTime toTimeZone toUnixTimestamp
toUnixTimestamp64Micro toUnixTimestamp64Milli toWeek toYYYYMM toYYYYMMDD toYYYYMMDDhhmmss toYear toYearWeek today year
month day week hour minute second quarter dayofmonth dayofweek dayofyear last_day weekday yesterday tumble tumbleStart
tumbleEnd hop hopStart hopEnd toIntervalDay toIntervalHour toIntervalMinute toIntervalMonth toIntervalQuarter
toIntervalSecond toIntervalWeek toIntervalYear utc_timestamp from_unixtime unix_timestamp
"""
_CONVERSIONS = """
accurateCast accurateCastOrDefault accurateCastOrNull cast parseTimeDelta reinterpretAsInt64 toBool toDecimal128
toDecimal128OrNull toDecimal128OrZero toDecimal256 toDecimal32 toDecimal32OrNull toDecimal64 toDecimal64OrNull
toDecimal64OrZero toDecimalString toFixedString toFloat32 toFloat32OrNull toFloat64 toFloat64OrNull toFloat64OrZero
toInt128 toInt16 toInt16OrNull toInt256 toInt32 toInt32OrNull toInt32OrZero toInt64 toInt64OrDefault toInt64OrNull
toInt64OrZero toInt8 toInt8OrNull toLowCardinality toString toStringCutToZero toUInt128 toUInt16 toUInt16OrNull
toUInt256 toUInt32 toUInt32OrNull toUInt32OrZero toUInt64 toUInt64OrNull toUInt64OrZero toUInt8 toUInt8OrNull toUUID
toUUIDOrNull formatReadableQuantity formatReadableDecimalSize formatReadableSize formatReadableTimeDelta formatRow
toJSONString
"""
_ARRAYS = """
array arrayAll arrayAUC arrayAvg arrayCompact arrayConcat arrayCount arrayCumSum arrayCumSumNonNegative
arrayDifference arrayDistinct arrayDotProduct arrayElement arrayElementOrNull arrayEnumerate arrayEnumerateDense
arrayEnumerateUniq arrayExists arrayFill arrayFilter arrayFirst arrayFirstIndex arrayFirstOrNull arrayFlatten
arrayFold arrayIntersect arrayJaccardIndex arrayJoin arrayLast arrayLastIndex arrayLastOrNull arrayMap arrayMax
arrayMin arrayNormalizedGini arrayPartialSort arrayPopBack arrayPopFront arrayProduct arrayPushBack arrayPushFront
arrayReduce arrayReduceInRanges arrayResize arrayReverse arrayReverseFill arrayReverseSort arrayReverseSplit
arrayRotateLeft arrayRotateRight arrayShiftLeft arrayShiftRight arrayShingles arraySlice arraySort arraySplit
arrayStringConcat arraySum arraySymmetricDifference arrayUnion arrayUniq arrayWithConstant arrayZip arrayZipUnaligned
countEqual emptyArrayFloat64 emptyArrayInt64 emptyArrayString has hasAll hasAny hasSubstr indexOf indexOfAssumeSorted
kql_array_sort_asc range L1Distance L2Distance L2Norm cosineDistance dotProduct tuple tupleElement tupleConcat
tuplePlus tupleMinus tupleMultiply untuple map mapAdd mapApply mapContains mapContainsKey mapExists mapFilter
mapFromArrays mapKeys mapSort mapSubtract mapUpdate mapValues mapAll list_value bitmapBuild bitmapCardinality
bitmapToArray groupBitmap in notIn exists
"""
_HASHES_AND_JSON = """
cityHash64 CRC32 farmHash64 halfMD5 intHash32 intHash64 MD5 murmurHash3_64 murmurHash3_128 SHA1 SHA224 SHA256
sipHash64 sipHash128 xxHash32 xxHash64 xxh3 isValidJSON isValidUTF8 JSONExtract JSONExtractArrayRaw JSONExtractBool
JSONExtractFloat JSONExtractInt JSONExtractKeys JSONExtractKeysAndValues JSONExtractRaw JSONExtractString
JSONExtractUInt JSONHas JSONLength JSONType JSON_VALUE JSON_QUERY JSON_EXISTS simpleJSONExtractFloat
simpleJSONExtractInt simpleJSONExtractRaw simpleJSONExtractString simpleJSONHas visitParamExtractString
rowNumberInAllBlocks rowNumberInBlock geoDistance greatCircleDistance randUniform rand
"""
_TYPES = """
array bool boolean date date32 datetime datetime64 decimal decimal32 decimal64 decimal128 decimal256 enum enum8 enum16
fixedstring float float32 float64 double int int8 int16 int32 int64 int128 int256 integer bigint smallint tinyint
lowcardinality map nullable numeric string text char varchar tuple uint8 uint16 uint32 uint64 uint128 uint256 uuid
nothing interval
"""
_WORDS = """
all and any anti array as asc asof between by case cross cube current desc distinct else end except exists fill filter
final first following from full global group grouping having ilike in inner intersect interval is join last left like
limit not null nulls offset on or order outer over partition preceding prewhere qualify range replace right rollup row
rows select semi sets step then ties to totals unbounded union using values when where window with within interpolate
columns
"""
"""What may stand in front of a parenthesis though it is no function."""

_CALLS = (
    _AGGREGATES, _WINDOWS, _ARITHMETIC, _CONDITIONS, _STRINGS, _TIMES, _CONVERSIONS, _ARRAYS, _HASHES_AND_JSON,
)  # fmt: skip
FUNCTIONS = frozenset(name.lower() for text in (*_CALLS, _TYPES) for name in text.split())
WORDS = frozenset(_WORDS.split()) - {"columns"}
_AGGREGATE = frozenset(_AGGREGATES.lower().split())
COMBINATORS = (
    "distinct", "ordefault", "ornull", "resample", "array", "argmin", "argmax", "foreach", "map", "if",
)  # fmt: skip
"""Endings of aggregate functions; -State and -Merge are left out: their values are bytes for the engine alone."""


def may_call(name: str) -> bool:
    """Whether a name in front of a parenthesis is a function, a type or a word that a question may use."""
    lowered = name.lower()
    return lowered in FUNCTIONS or lowered in WORDS or _combined(lowered)


def _combined(name: str) -> bool:
    for ending in COMBINATORS:
        bare = name.removesuffix(ending)
        if bare != name and (bare in _AGGREGATE or _combined(bare)):
            return True
    return False

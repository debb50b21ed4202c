// What made-up orders are made of: common Korean names, and what farms sell. The first six products are of corn.

export const familyNames = Array.from(
  '김김김김김이이이이박박박최최정정강조윤장임한오서신권황안송류홍전고문손양배백허남심노하곽성차주우구민',
);

export const givenNames = (
  '민준 서준 도윤 예준 시우 하준 지호 주원 지후 준우 도현 건우 우진 ' +
  '현우 선우 서진 유준 연우 은우 정우 승우 재윤 태윤 동현 성민 영호 ' +
  '서연 서윤 지우 하윤 민서 지유 윤서 채원 수아 지아 다은 은서 예은 ' +
  '수빈 지민 소율 나은 유진 혜진 미경 영숙 정희 순자 경숙 현정 보람'
).split(' ');

export const foreignNames = [
  'Emma Wilson',
  'Liam Brown',
  'Nguyen Thi Lan',
  'Maria Santos',
  'Yuki Tanaka',
  'Ivan Petrov',
];

export const products = [
  '초당옥수수 10개 (특)',
  '초당옥수수 20개 (특)',
  '초당옥수수 30개 (가정용)',
  '노랑 초당옥수수 15개',
  '하양 초당옥수수 15개',
  '찰옥수수 30개',
  '성주 꿀참외 3kg',
  '고창 꿀수박 7kg 1통',
  '나주 신고배 5kg',
  '청송 부사 사과 5kg',
  '제주 하우스감귤 3kg',
  '영동 샤인머스캣 2kg',
  '논산 설향 딸기 1kg',
  '해남 꿀고구마 5kg',
  '강원 햇감자 10kg',
  '의성 깐마늘 1kg',
  '무안 햇양파 10kg',
  '철원 오대쌀 10kg',
  '완도 활전복 1kg (10미)',
  '통영 생굴 2kg',
  '영광 법성포 굴비 20미',
  '한우 1++ 등심 500g',
  '제주 흑돼지 오겹살 1kg',
  '무항생제 유정란 30구',
  '아카시아 벌꿀 2.4kg',
];
